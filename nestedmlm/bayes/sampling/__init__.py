"""Drawing from the posterior: samplers, importance sampling, the mode, conditional modes."""
