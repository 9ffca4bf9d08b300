"""What users hold: `Model`, `LmerFit`, `BayesFit`, and what makes further fits from a fit."""
