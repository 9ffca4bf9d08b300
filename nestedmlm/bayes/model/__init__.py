"""The PyMC model of a design: priors, names, hierarchical and marginal form."""
