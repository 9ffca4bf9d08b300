"""Chains that evaluate their density together."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import nestedmlm as nm
from nestedmlm.bayes.sampling.meeting import Meeting


def normal(points):
    return -0.5 * np.sum(points**2, axis=1), -points


def walk(chain, steps, start):
    """A walk uphill, each step where the one before led."""
    z = np.array(start, dtype=float)
    for _ in range(steps):
        z = z + 0.1 * chain(z)[1]
    return z


def test_each_chain_gets_what_it_asked_for_and_may_end_before_the_others():
    meeting, steps = Meeting(normal, chains=3, ndim=2), [5, 40, 80]
    chains = [meeting.chain() for _ in steps]
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(walk, chains, steps, [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]))
    for z, n, start in zip(found, steps, [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], strict=True):
        np.testing.assert_allclose(z, 0.9**n * np.array(start), rtol=1e-12)


def test_chains_share_evaluations():
    sizes = []

    def counted(points):
        sizes.append(len(points))
        return normal(points)

    meeting = Meeting(counted, chains=4, ndim=1)
    chains = [meeting.chain() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda chain: walk(chain, 100, [1.0]), chains))
    assert set(sizes) == {4}
    assert len(sizes) < 300  # 400 one by one


def test_nothing_is_evaluated_where_nobody_asks():
    asked = []

    def counted(points):
        asked.append(np.isfinite(points).all(axis=1).sum())
        return normal(points)

    meeting = Meeting(counted, chains=4, ndim=1)
    for _ in range(4):  # one after the other
        walk(meeting.chain(), 10, [1.0])
    assert set(asked) == {1}


def test_an_error_reaches_every_chain_that_waits():
    def broken(points):
        raise MemoryError("no room")

    meeting = Meeting(broken, chains=2, ndim=1)
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(walk, meeting.chain(), 3, [1.0]) for _ in range(2)]
        for run in runs:
            with pytest.raises(MemoryError, match="no room"):
                run.result(timeout=30)


@pytest.mark.filterwarnings("ignore::nestedmlm.errors.SamplingWarning")  # of so few draws
def test_draws_do_not_depend_on_how_many_chains_run_at_once():
    model = nm.Model("strength ~ 1 + (1 | batch/cask)", nm.load_dataset("Pastes"))
    one, three = (
        model.sample(draws=20, tune=50, chains=3, cores=cores, seed=4, progress=False).data
        for cores in (1, 3)
    )
    for name, values in one["posterior"].data_vars.items():
        np.testing.assert_array_equal(values, three["posterior"][name])
