"""Two posteriors in one fresh process: times on standard output, as JSON.

python benchmarks/bayes_worker.py PROGRAM DATA.csv FORMULA FACTORS DRAWS CHAINS SEED

PROGRAM is marginal, psis, hierarchical, hierarchical-c, hierarchical-jax, bambi or bambi-pymc. Each
posterior goes from formula and data frame to all draws, those of the random effects included.
Nothing heavy is imported before the clock runs.
"""

from __future__ import annotations

import time

START = time.perf_counter()

import json  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
from collections.abc import Callable  # noqa: E402
from typing import Any  # noqa: E402

Settings = dict[str, int]


def ours(**options: Any) -> Callable[..., Any]:
    import nestedmlm as nm

    def run(formula: str, frame: Any, settings: Settings) -> Any:
        return nm.pymc_lmer(formula, frame, progress=False, **options, **settings).data

    return run


def bambi(method: str) -> Callable[..., Any]:
    import bambi as bmb

    def run(formula: str, frame: Any, settings: Settings) -> Any:
        model = bmb.Model(formula, frame)
        return model.fit(
            draws=settings["draws"],
            chains=settings["chains"],
            random_seed=settings["seed"],
            inference_method=method,
            progressbar=False,
        )

    return run


PROGRAMS: dict[str, Callable[[], Callable[..., Any]]] = {
    "marginal": ours,
    "psis": lambda: ours(sampler="psis"),
    "hierarchical": lambda: ours(marginal=False),
    "hierarchical-c": lambda: ours(marginal=False, backend="c"),
    "hierarchical-jax": lambda: ours(marginal=False, backend="jax"),
    "bambi": lambda: bambi("nutpie"),
    "bambi-pymc": lambda: bambi("pymc"),
}


def cpu() -> float:
    usage = os.times()
    return usage.user + usage.system + usage.children_user + usage.children_system


def timed(run: Callable[..., Any], *job: Any, since: tuple[float, float]) -> dict[str, Any]:
    """A posterior, its seconds and CPU seconds since some moment."""
    data = run(*job)
    for values in data.posterior.data_vars.values():
        values.to_numpy()  # random effects that are drawn when they are asked for
    seconds, spent = time.perf_counter() - since[0], cpu() - since[1]
    return {"seconds": seconds, "cpu": spent, **quality(data)}


def quality(data: Any) -> dict[str, Any]:
    """Least effective number of draws of a parameter; divergences; Pareto k."""
    posterior, stats = data.posterior, getattr(data, "sample_stats", ())
    names = [
        name
        for name, values in posterior.data_vars.items()
        if values.ndim == 2 and "corr" not in str(name)
    ]
    diverging = int(stats["diverging"].sum()) if "diverging" in stats else None
    khat = posterior.attrs.get("khat")
    return {"min_ess": least_ess(data, names, khat), "khat": khat, "divergences": diverging}


def least_ess(data: Any, names: list[str], khat: float | None) -> float:
    """Bulk ESS by ArviZ; of importance sampling by the weights, as resampled draws repeat."""
    import numpy as np

    posterior = data.posterior  # a Dataset in the InferenceData of ArviZ before 1.0
    if khat is not None:
        from nestedmlm.posterior.effective_draws import diagnostics

        draws = np.stack([posterior[name].to_numpy() for name in names], axis=-1)
        return float(diagnostics(data, draws)["ess_bulk"].min())
    import arviz as az

    ess = az.ess(getattr(posterior, "to_dataset", lambda: posterior)()[names])
    return min(float(ess[name]) for name in names)


def main(program: str, path: str, formula: str, factors: str, *numbers: str) -> None:
    import pandas as pd

    frame = pd.read_csv(path)
    for name in filter(None, factors.split(",")):
        frame[name] = frame[name].astype(str).astype("category")
    run = PROGRAMS[program]()
    settings = dict(zip(("draws", "chains", "seed"), map(int, numbers), strict=True))
    first = timed(run, formula, frame, settings, since=(START, 0.0))
    settings["seed"] += 1000
    second = timed(run, formula, frame, settings, since=(time.perf_counter(), cpu()))
    print(json.dumps({"first": first, "second": second}))


if __name__ == "__main__":
    main(*sys.argv[1:])
