"""Compilation ahead of time: for images, CI, classrooms."""

from __future__ import annotations

import numpy as np
import pandas as pd

from nestedmlm.design.build import build_design
from nestedmlm.families import poisson
from nestedmlm.likelihood.criterion import degrees
from nestedmlm.likelihood.elimination import compiled_cache, speed
from nestedmlm.likelihood.plan import make_plan, start_phi
from nestedmlm.optimum.curvature import curvature
from nestedmlm.optimum.evaluation import evaluate
from nestedmlm.optimum.fused import descend_compiled
from nestedmlm.optimum.glmm.solve_glmm import solve_glmm
from nestedmlm.statistics.crossproducts import cross_products


def warmup() -> None:
    """Compile everything that nestedmlm compiles, and keep it on disk.

    A call compiles by itself where its own work repays that; nothing needs this one. After it
    everything is compiled in the process: a loop of small fits may take half the time, and its
    numbers agree to rounding with those before. It takes some eighty seconds of CPU time, once for
    an installation; a process that finds the result on disk loads it in about one.

    Examples
    --------
    >>> import nestedmlm as nm
    >>> nm.warmup()  # doctest: +SKIP
    """
    rng = np.random.default_rng(0)
    a, x = np.arange(60), rng.normal(size=60)
    data = pd.DataFrame({"y": rng.normal(size=60), "x": x, "a": a // 3, "b": a // 12, "c": a % 5})
    speed.compile_from_now_on()
    for formula in ("y ~ x + (x | a) + (1 | b)", "y ~ x + (x | a) + (1 | b) + (1 | c)"):
        design = build_design(formula, data)
        stats = cross_products(design)
        plan = make_plan(design, stats)
        start = start_phi(plan)
        found = evaluate(start, plan, stats, True)
        curvature(found, plan, stats, degrees(stats, True).df)
        if stats.crossed is None:
            descend_compiled(
                plan, stats, start, degrees(stats, True), tolerance=1e-12, max_evaluations=50
            )
            counts = design.with_response(rng.poisson(2.0, 60).astype(float))
            solve_glmm(counts, poisson())
    compiled_cache.mark_complete()
