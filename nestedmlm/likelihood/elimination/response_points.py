"""Data of many responses for the sweep over points: each point has a response of its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nestedmlm._typing import FloatArray, IntArray
from nestedmlm.likelihood.elimination.point_sweep import Panels, PointData, numbers, point_data
from nestedmlm.statistics.responses import Responses


def response_data(given: Responses, lanes: IntArray) -> PointData:
    """Data of some responses to one design, without tables.

    Parameters
    ----------
    given : Responses
    lanes : array of int
        Which of them.

    Returns
    -------
    PointData
        Of as many points, in the same order.
    """
    stats = given.stats
    shared, sums = point_data(stats), [own[lanes] for own in given.sums]
    chain, products = len(stats.order.chain), given.products[:, lanes].T
    blocks = tuple(
        Panels(
            each=tuple(
                _with_response(panel, own[:, :, levels])
                for panel, own, levels in zip(panels.each, sums, block.levels, strict=False)
            ),
            finest=None,
        )
        for block, panels in zip(stats.blocks, shared.blocks, strict=True)
    )
    m = len(products)
    F = np.repeat(stats.F[None], m, axis=0)
    F[:, -1], F[:, :, -1] = products, products
    R = None
    if shared.R is not None:
        R = np.repeat(shared.R[None], m, axis=0)
        R[:, :, -1] = np.concatenate(
            [own.transpose(0, 2, 1).reshape(m, -1) for own in sums[chain:]], axis=1
        )
    return PointData(blocks=blocks, F=F, R=R, numbers=numbers(stats))


def data_of(data: PointData, lanes: IntArray) -> PointData:
    """The same for some of the points, of which one may occur twice."""
    if np.array_equal(lanes, np.arange(len(data.F))):
        return data
    blocks = tuple(
        replace(panels, each=tuple(panel[:, :, lanes] for panel in panels.each))
        for panels in data.blocks
    )
    return replace(
        data, blocks=blocks, F=data.F[lanes], R=None if data.R is None else data.R[lanes]
    )


def _with_response(panel: FloatArray, sums: FloatArray) -> FloatArray:
    """A factor's panels, (k, width, 1, J), with each response's sums, (m, k, J)."""
    out = np.repeat(panel, len(sums), axis=2)
    out[:, -1] = sums.transpose(1, 0, 2)
    return out
