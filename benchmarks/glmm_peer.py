"""One generalized model by one of the Rust packages: python glmm_peer.py PACKAGE model.json.

Prints a JSON object: CPU seconds of the quickest call, the full -2 log-likelihood and what the
package says of convergence, or why there are none. Runs in the Python that has the package, so it
needs nothing of ours.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd


def glmm(model: dict, data: pd.DataFrame) -> Callable[[], tuple[float, bool]]:
    import glmm as package

    weights = model["args"].get("weights")
    given = {} if weights is None else {"weights": data[weights]}

    def fit() -> tuple[float, bool]:
        found = package.fit(
            data, model["formula"], model["family"], link=model["link"], nagq=model["nAGQ"], **given
        )
        return -2.0 * float(found.loglik), bool(found.converged)

    return fit


def mixedlm(model: dict, data: pd.DataFrame) -> Callable[[], tuple[float, bool]]:
    import mixedlm as package
    from mixedlm import families

    family = getattr(families, model["family"].capitalize())
    link = getattr(families, model["link"].capitalize() + "Link")()

    def fit() -> tuple[float, bool]:
        found = package.glmer(
            model["formula"], data, family=family(link=link), nAGQ=model["nAGQ"],
            weights=model["args"].get("weights"),
        )  # fmt: skip
        return -2.0 * float(found.logLik().value), bool(found.converged)

    return fit


PACKAGES = {"glmm": glmm, "mixedlm": mixedlm}


def main() -> None:
    """Fit a model some times; print what it took."""
    model: dict[str, Any] = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    data = pd.read_csv(model["data"], keep_default_na=False, na_values=["NA"])
    for name, levels in model["levels"].items():
        data[name] = pd.Categorical(data[name].astype(str), levels)
    warnings.simplefilter("ignore")
    try:
        fit = PACKAGES[sys.argv[1]](model, data)
        seconds = []
        for _ in range(model["times"] + 1):  # the first is not counted
            begun = time.process_time()
            criterion, converged = fit()
            seconds.append(time.process_time() - begun)
        answer = {
            "seconds": min(seconds[1:]), "criterion": criterion, "converged": converged
        }  # fmt: skip
    except Exception as error:  # whatever a package raises is its answer
        answer = {"problem": f"{type(error).__name__}: {error}".splitlines()[0][:120]}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
