"""Schema of data in partitions: levels and transforms of all of them, before any is summed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from nestedmlm.design.frame.frames import Frame
from nestedmlm.design.frame.values import Factor, Matrix, Vector, take_rows, vector_length
from nestedmlm.design.partitions.learners import LEARNERS
from nestedmlm.design.partitions.levels import SeenLevels, SeenNumbers, kind_of, seen_in
from nestedmlm.design.partitions.looks import Learner
from nestedmlm.design.partitions.on_partitions import each_partition, on_partition
from nestedmlm.design.partitions.partition import Source
from nestedmlm.design.partitions.partition_frame import Kind, ValuesFrame, all_missing
from nestedmlm.design.partitions.reading import Asking, Reading, check_elementwise, nodes_of
from nestedmlm.design.schema import predictor_variables
from nestedmlm.errors import DataError
from nestedmlm.formula.nodes import Name, Node, variables_in

PILOT_PARTITIONS = 10  # that some rows are taken from
PILOT_ROWS = 2_000  # of all of them together


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Learned:
    """Variables as all partitions have them, and some rows.

    Attributes
    ----------
    reading : Reading
        With kinds and states.
    known : dict of str to Vector
        Every predictor without rows: its levels, or its number of columns.
    pilot : Frame
        Some rows of several partitions.
    """

    reading: Reading
    known: dict[str, Vector]
    pilot: Frame


def learn_schema(source: Source, reading: Reading, *, show: bool = False) -> Learned:
    """Learn from all partitions whatever the columns of the model depend on.

    Parameters
    ----------
    source : Source
        Read once for the levels of its columns, and once for each look of a function that learns,
        if there are any; otherwise only some rows are.
    reading : Reading
    show : bool
        Whether progress is shown.

    Returns
    -------
    Learned

    Raises
    ------
    PartitionError
        If partitions do not fit together.
    """
    pilot = _pilot(source, reading)
    reading = _with_kinds(source, reading, pilot, show)
    pilot = _recoded(pilot, reading)
    nodes = nodes_of(reading)
    check_elementwise(reading, pilot, some_rows, nodes)
    reading = _with_states(source, reading, pilot, nodes, show)
    return Learned(reading=reading, known=_known(source, reading, pilot, show), pilot=pilot)


# --- some rows ------------------------------------------------------------------------------------
def _pilot(source: Source, reading: Reading) -> ValuesFrame:
    """Rows of several partitions, all columns that the formula uses."""
    count = source.count or 1
    some = set(np.linspace(0, count - 1, min(PILOT_PARTITIONS, count)).round().astype(int).tolist())
    parts: list[dict[str, Vector]] = []
    for number, part in enumerate((source.first or source.partitions)()):
        if source.count is not None and number not in some and parts:
            continue
        most = PILOT_ROWS // len(some)
        take = partial(_pilot_rows, reading, most)
        rows = on_partition(take, part.some(reading.columns, most), part.label)
        if rows:
            parts.append(rows)
        if source.count is None and len(parts) == 1:
            break
    if not parts:
        raise DataError("the data are empty (0 rows)")
    return _end_to_end(parts)


def _pilot_rows(reading: Reading, most: int, table: Any, label: str) -> dict[str, Vector]:
    frame = reading.frame(table, label)
    if not frame.n:
        return {}
    chosen = np.zeros(frame.n, dtype=bool)
    rng = np.random.default_rng(frame.n)
    chosen[rng.choice(frame.n, size=min(most, frame.n), replace=False)] = True
    return {name: take_rows(frame.column(name), chosen) for name in reading.columns}


def _end_to_end(parts: Sequence[Mapping[str, Vector]]) -> ValuesFrame:
    """Columns of several tables as one; a column that is several things is what it is first."""
    values: dict[str, Vector] = {}
    parts = _of_one_kind(parts)
    fitting = [p for p in parts if all(_alike(p[name], parts[0][name]) for name in p)]
    for name in parts[0]:
        own = [part[name] for part in fitting]
        if isinstance(own[0], Factor):
            levels = list(dict.fromkeys(lv for f in own for lv in f.levels))  # type: ignore[union-attr]
            table = {level: j for j, level in enumerate(levels)}
            codes = [
                np.array([*(table[lv] for lv in f.levels), -1], np.int32)[f.codes]  # type: ignore[union-attr]
                for f in own
            ]
            known = np.empty(len(levels), dtype=object)
            known[:] = levels
            first = own[0]
            values[name] = replace(first, codes=np.concatenate(codes), levels=known)
        elif isinstance(own[0], Matrix):
            values[name] = Matrix(np.concatenate([m.values for m in own]), own[0].names)  # type: ignore[union-attr]
        else:
            values[name] = np.concatenate([_plain(v) for v in own])
    return ValuesFrame(values, sum(_rows(part) for part in fitting))


def _of_one_kind(parts: Sequence[Mapping[str, Vector]]) -> list[dict[str, Vector]]:
    """Columns without any value are factors where those of another part are."""
    out = [dict(part) for part in parts]
    for name in out[0]:
        factors = [value for part in out if isinstance(value := part[name], Factor)]
        for part in out if factors else ():
            if all_missing(part[name]):
                none = np.full(vector_length(part[name]), -1, np.int32)
                part[name] = replace(factors[0], codes=none)
    return out


def _alike(one: Vector, other: Vector) -> bool:
    kinds = [Factor if isinstance(v, Factor) else Matrix if isinstance(v, Matrix) else None
             for v in (one, other)]  # fmt: skip
    return kinds[0] is kinds[1]


def _plain(value: Any) -> Any:
    return value if isinstance(value, np.ndarray) else value.numbers()


def _rows(part: Mapping[str, Vector]) -> int:
    return max((vector_length(v) for v in part.values()), default=0)


def some_rows(frame: Any, rows: slice) -> ValuesFrame:
    """Some rows of a table, as a table."""
    chosen = np.zeros(frame.n, dtype=bool)
    chosen[rows] = True
    values = {name: take_rows(frame.column(name), chosen) for name in frame.column_names}
    return ValuesFrame(values, int(chosen.sum()))


# --- levels of columns ----------------------------------------------------------------------------
def _with_kinds(source: Source, reading: Reading, pilot: Frame, show: bool) -> Reading:
    """Find what each column among the predictors is in all partitions."""
    names = [name for name in _predictor_columns(reading) if name in pilot]
    columns = {name: pilot.column(name) for name in names}
    unsure = [n for n, value in columns.items() if isinstance(value, Factor) or all_missing(value)]
    kinds = {name: Kind() for name in names if name not in unsure}
    if unsure:
        look = partial(_look_at_levels, reading, tuple(unsure))
        seen = list(each_partition(source, unsure, look, "levels", show=show))
        for j, name in enumerate(unsure):
            found = [own for one in seen if (own := one[j]) is not None]
            if found or not isinstance(columns[name], Factor):
                kinds[name] = kind_of(found, name)
    return replace(reading, kinds=kinds)


def _predictor_columns(reading: Reading) -> list[str]:
    terms = [reading.fixed, *(bar.terms for bar in reading.formula.bars)]
    used = (v for own in terms for v in predictor_variables(own))
    return [
        name
        for name in dict.fromkeys(n for v in used for n in variables_in(v.node))
        if name in reading.columns
    ]


def _look_at_levels(
    reading: Reading, names: Sequence[str], table: Any, label: str
) -> list[SeenLevels | SeenNumbers | None]:
    frame = reading.frame(table, label)
    return [seen_in(frame.column(name), label) for name in names]


def _recoded(pilot: Frame, reading: Reading) -> ValuesFrame:
    values: dict[str, Vector] = {}
    for name in pilot.column_names:
        value, kind = pilot.column(name), reading.kinds.get(name)
        if kind is not None and kind.levels is not None and isinstance(value, Factor):
            table = {level: j for j, level in enumerate(kind.levels.levels)}
            codes = np.array([*(table.get(lv, -1) for lv in value.levels), -1], np.int32)
            value = replace(kind.levels, codes=codes[value.codes])
        elif kind is not None and kind.levels is not None:  # no row of the pilot has a value
            value = replace(kind.levels, codes=np.full(pilot.n, -1, np.int32))
        values[name] = value
    return ValuesFrame(values, pilot.n)


# --- functions that learn -------------------------------------------------------------------------
def _with_states(
    source: Source, reading: Reading, pilot: Frame, nodes: Mapping[str, Node], show: bool
) -> Reading:
    """Learn what functions learn, the inner ones of nested calls first."""
    while True:
        asking = Asking(pilot, reading)
        waiting = [node for node in nodes.values() if asking.ask(node) is None]
        if not waiting:
            return reading
        learners: dict[str, Learner] = {
            key: LEARNERS[name](options) for key, (name, _, options) in asking.asked.items()
        }
        columns = [
            name for name in reading.columns if any(name in variables_in(node) for node in waiting)
        ]
        states = dict(reading.states)
        while learners:
            look = partial(_look_with, reading, tuple(waiting), learners)
            totals: dict[str, Any] = {}
            for found in each_partition(source, columns, look, "transforms", show=show):
                for key, one in found.items():
                    totals[key] = totals[key] + one if key in totals else one
            further: dict[str, Learner] = {}
            for key, learner in learners.items():
                result: Any = learner.learn(totals[key])
                if hasattr(result, "learn"):
                    further[key] = result
                else:
                    states[key] = result
            learners = further
        reading = replace(reading, states=states)


def _look_with(
    reading: Reading,
    nodes: Sequence[Node],
    learners: Mapping[str, Learner],
    table: Any,
    label: str,
) -> dict[str, Any]:
    asking = Asking(reading.frame(table, label), reading)
    for node in nodes:
        asking.ask(node)
    return {
        key: learners[key].look(columns)
        for key, (_, columns, _) in asking.asked.items()
        if key in learners
    }


# --- variables as they are learned ----------------------------------------------------------------
def _known(source: Source, reading: Reading, pilot: Frame, show: bool) -> dict[str, Vector]:
    """Every predictor without rows."""
    terms = [reading.fixed, *(bar.terms for bar in reading.formula.bars)]
    nodes = {v.name: v.node for own in terms for v in predictor_variables(own)}
    asking = Asking(pilot, reading)
    values = {name: asking.vector(node) for name, node in nodes.items()}
    made = [
        name
        for name, node in nodes.items()
        if isinstance(values[name], Factor) and not isinstance(node, Name)
    ]
    seen: dict[str, SeenLevels] = {}
    if made:
        columns = [n for n in reading.columns if any(n in variables_in(nodes[m]) for m in made)]
        look = partial(_look_at_made, reading, {name: nodes[name] for name in made})
        for found in each_partition(source, columns, look, "levels", show=show):
            for name, one in found.items():
                if one is not None:
                    seen[name] = seen[name] + one if name in seen else one
    none = np.zeros(pilot.n, dtype=bool)
    known = {name: take_rows(value, none) for name, value in values.items()}
    for name, levels in seen.items():
        known[name] = _made_factor(known[name], levels, name)
    return known


def _look_at_made(
    reading: Reading, nodes: Mapping[str, Node], table: Any, label: str
) -> dict[str, SeenLevels | None]:
    asking = Asking(reading.frame(table, label), reading)
    return {name: SeenLevels.of(asking.vector(node), label) for name, node in nodes.items()}


def _made_factor(pilot: Vector, seen: SeenLevels, name: str) -> Factor:
    """Levels of a factor that a function made: the function's order, as far as it has one."""
    assert isinstance(pilot, Factor)
    used, order = set(seen.used), list(pilot.levels)
    if used <= set(order):
        levels = [level for level in order if level in used]
    elif seen.same:
        levels = [level for level in seen.declared if level in used]
    else:
        levels = list(replace(seen, same=False).factor(name).levels)
    known = np.empty(len(levels), dtype=object)
    known[:] = levels
    return replace(pilot, levels=known, codes=np.empty(0, dtype=np.int32))
