"""One posterior in one fresh process: times on standard output, as JSON.

python benchmarks/bayes_worker.py PROGRAM DATA.csv FORMULA FACTORS DRAWS CHAINS SEED

PROGRAM is marginal, marginal-numba, psis, hierarchical, hierarchical-c, hierarchical-jax or bambi.
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
_PARTS = {"compile": 0.0}


def timed(module: Any, name: str, part: str) -> None:
    """Add what a function takes to a part of the total."""
    inner = getattr(module, name)

    def outer(*args: Any, **kwargs: Any) -> Any:
        began = time.perf_counter()
        try:
            return inner(*args, **kwargs)
        finally:
            _PARTS[part] += time.perf_counter() - began

    setattr(module, name, outer)


def ours(options: dict[str, Any]) -> Callable[..., Any]:
    import nestedmlm as nm
    import nestedmlm.bayes.model.hierarchical
    import nestedmlm.bayes.sampling.sampling

    def run(formula: str, frame: Any, settings: Settings) -> Any:
        return nm.pymc_lmer(formula, frame, progress=False, **options, **settings).data

    return run


def bambi() -> Callable[..., Any]:
    import bambi as bmb

    def run(formula: str, frame: Any, settings: Settings) -> Any:
        model = bmb.Model(formula, frame)
        return model.fit(
            draws=settings["draws"],
            chains=settings["chains"],
            random_seed=settings["seed"],
            inference_method="nutpie",
            progressbar=False,
        )

    return run


PROGRAMS: dict[str, Callable[[], Callable[..., Any]]] = {
    "marginal": lambda: ours({}),
    "marginal-numba": lambda: ours({"backend": "numba"}),
    "psis": lambda: ours({"sampler": "psis"}),
    "hierarchical": lambda: ours({"marginal": False}),
    "hierarchical-c": lambda: ours({"marginal": False, "backend": "c"}),
    "hierarchical-jax": lambda: ours({"marginal": False, "backend": "jax"}),
    "bambi": bambi,
}


def cpu() -> float:
    usage = os.times()
    return usage.user + usage.system + usage.children_user + usage.children_system


def main(program: str, path: str, formula: str, factors: str, *numbers: str) -> None:
    import pandas as pd

    frame = pd.read_csv(path)
    for name in filter(None, factors.split(",")):
        frame[name] = frame[name].astype(str).astype("category")
    run = PROGRAMS[program]()
    # what a user of the program has loaded by the time it samples
    if program != "psis":
        import nutpie
        import pymc  # noqa: F401

        timed(nutpie, "compile_pymc_model", "compile")
    if program == "hierarchical-c":
        import nestedmlm.bayes.sampling.samplers as samplers

        timed(samplers, "density", "compile")
    imported, before = time.perf_counter(), cpu()
    settings = dict(zip(("draws", "chains", "seed"), map(int, numbers), strict=True))
    data = run(formula, frame, settings)
    done, after = time.perf_counter(), cpu()
    import arviz as az

    names = [
        name
        for name, values in data.posterior.data_vars.items()
        if values.ndim == 2 and "corr" not in str(name)
    ]
    posterior = data.posterior  # a Dataset in the InferenceData of ArviZ before 1.0
    ess = az.ess(getattr(posterior, "to_dataset", lambda: posterior)()[names])
    least = min(float(ess[name]) for name in names)
    attributes = posterior.attrs
    if program == "psis":  # resampled draws repeat: the weights know how many count
        least = float(attributes["ess"])
    answer = {
        "import": imported - START,
        "compile": _PARTS["compile"],
        "sample": done - imported - _PARTS["compile"],
        "total": done - START,
        "cpu": after - before,
        "min_ess": least,
        "khat": attributes.get("khat"),
        "divergences": int(data.sample_stats["diverging"].sum())
        if "diverging" in getattr(data, "sample_stats", ())
        else None,
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main(*sys.argv[1:])
