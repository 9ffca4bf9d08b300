"""``python -m nestedmlm demo``: shipped data first, then the guide if its data are there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import nestedmlm as nm
from nestedmlm.cli.guide import GUIDE
from nestedmlm.cli.tables import read_table
from nestedmlm.cli.transcript import Step, play
from nestedmlm.datasets import DATA_VARIABLE, find_local, load_dataset, prepare_classroom

PASTES = (
    Step("1. NESTED IDENTIFIERS: strength of a paste, 3 casks from each of 10 batches"),
    Step(
        "Casks are labelled a, b, c within every batch: cask a of batch A and cask a of batch B\n"
        "are different casks. `sample` names each cask uniquely.",
        'pastes = nm.load_dataset("Pastes")\npastes.head(4)',
    ),
    Step(
        "Three ways to say the same model: nested, spelled out, and with the unique identifier.",
        'nested = nm.lmer("strength ~ 1 + (1 | batch/cask)", pastes)\n'
        'spelled = nm.lmer("strength ~ 1 + (1 | batch) + (1 | batch:cask)", pastes)\n'
        'unique = nm.lmer("strength ~ 1 + (1 | sample) + (1 | batch)", pastes)\n'
        "nested.summary()",
    ),
    Step(
        "The REML criteria are equal; the two others differ only in the name of the factor.",
        "[round(m.reml_criterion, 6) for m in (nested, spelled, unique)]",
    ),
    Step("", "spelled.varcorr()"),
    Step("", "unique.varcorr()"),
)

SLEEP = (
    Step("2. VARYING SLOPES: reaction times of 18 subjects over ten days of little sleep"),
    Step(
        "Each subject has an intercept and a slope of its own; the two may be correlated.",
        'sleepstudy = nm.load_dataset("sleepstudy")\n'
        'correlated = nm.lmer("Reaction ~ Days + (Days | Subject)", sleepstudy)\n'
        "correlated.summary()",
    ),
    Step(
        "Two bars instead of one: no correlation between intercept and slope.",
        'uncorrelated = nm.lmer("Reaction ~ Days + (Days || Subject)", sleepstudy)\n'
        "uncorrelated.varcorr()",
    ),
    Step(
        "Is the correlation needed? The likelihood ratio test compares ML fits of the two.",
        "nm.anova(uncorrelated, correlated)",
    ),
)

SINGULAR = (
    Step("3. A SINGULAR FIT: data without any variation between batches"),
    Step(
        "A variance component that is estimated as zero is a result, not an error.",
        'dyestuff2 = nm.load_dataset("Dyestuff2")\n'
        'flat = nm.lmer("Yield ~ 1 + (1 | Batch)", dyestuff2)\n'
        "flat.varcorr()",
    ),
    Step(
        "The diagnosis says which direction has collapsed and what to fit next.", "flat.diagnose()"
    ),
)

BAYES = (
    Step("5. THE SAME FORMULA, BAYESIAN: the posterior of the sleep study beside its REML fit"),
    Step(
        "Priors are scaled from the data; any of them can be replaced by name.",
        "correlated.model.priors",
    ),
    Step(
        "Random effects are integrated out, six parameters are left: importance sampling draws\n"
        "from their posterior in about a second (without sampler=... it is NUTS).",
        'posterior = correlated.sample(sampler="psis", seed=1)\nposterior.summary()',
    ),
    Step("", "nm.compare(correlated, posterior)"),
    Step("", 'posterior.hypothesis("`1|Subject_sigma` > sigma")'),
)

NO_CLASSROOM = (
    "4. THE CLASSROOM GUIDE was left out: its data are not here. With --data FILE.csv, or with the "
    f"folder\nof classroom.csv in {DATA_VARIABLE}, or once nm.load_dataset('classroom') has "
    "downloaded them,\nthis demo goes on with the models M14 to M20."
)


def demo(data: Path | None) -> Iterator[str]:
    """Yield the text of the demo.

    Parameters
    ----------
    data : pathlib.Path or None
        CSV file with the classroom data; None looks for them without using the network.

    Yields
    ------
    str
        Blocks of text.
    """
    # the file is read first: a wrong name should not show only after the first three parts
    given = None if data is None else prepare_classroom(read_table(data))
    namespace = {"nm": nm}
    yield from play((*PASTES, *SLEEP, *SINGULAR), namespace)
    if given is None and find_local("classroom") is None:
        yield NO_CLASSROOM
        yield ""
    else:
        classroom = load_dataset("classroom") if given is None else given
        yield from play(GUIDE, {"nm": nm, "classroom_df": classroom})
    yield from play(BAYES, namespace)
