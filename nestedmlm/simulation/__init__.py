"""Simulation around a fit (layer 7): bootstrap, power, tests by simulation. They refit models."""
