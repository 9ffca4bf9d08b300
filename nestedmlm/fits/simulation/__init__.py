"""Simulation around a fit: bootstrap, power, tests by simulation. They refit models."""
