"""`Model`, `LmerFit`, `BayesFit`, their verbs, and what makes further fits from a fit."""
