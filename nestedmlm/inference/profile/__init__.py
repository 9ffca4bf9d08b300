"""Profile likelihood of one parameter at a time, and the surface of two."""
