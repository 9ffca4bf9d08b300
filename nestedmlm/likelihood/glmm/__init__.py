"""Likelihoods of generalized linear mixed models: modes, Laplace approximation, quadrature."""
