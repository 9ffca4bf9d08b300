"""The verbs of `BayesFit`: plain functions of a fit, one file for each question."""
