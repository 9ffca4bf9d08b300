"""Side-by-side timings of nestedmlm, lme4 and Python peers: `python -m benchmarks`."""
