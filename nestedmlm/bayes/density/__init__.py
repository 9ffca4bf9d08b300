"""The log-density of a marginal posterior in closed form: NumPy round the likelihood."""
