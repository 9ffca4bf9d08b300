"""Functions run on every partition: here, one after the other, or where Dask has them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from nestedmlm.design.partitions.partition import Partition, Source
from nestedmlm.errors import DataError, NestedMLMError, PartitionError
from nestedmlm.progress import track

_BRANCHES = 8  # results of partitions that are merged at a time on Dask's workers


def each_partition[Result](
    source: Source,
    columns: Sequence[str],
    function: Callable[[Any, str], Result],
    what: str,
    *,
    show: bool = False,
) -> Iterator[Result]:
    """Yield what a function makes of every partition, in their order.

    Parameters
    ----------
    source : Source
    columns : sequence of str
        To be read.
    function : callable
        ``(table, label) -> result``; pure, so that it can be run again elsewhere.
    what : str
        What is being done, for the line of progress.
    show : bool
        Whether there is one.

    Raises
    ------
    PartitionError
        For whatever goes wrong in one: it says where.
    """
    if source.delayed is not None:
        yield from _on_dask(source, columns, function, None)
        return
    read = _read_ahead if source.ahead else _read
    tables = read(source.partitions(), columns)
    for table, label in track(tables, source.count or 0, what, show=show):
        yield on_partition(function, table, label)


def _read(parts: Iterator[Partition], columns: Sequence[str]) -> Iterator[tuple[Any, str]]:
    for part in parts:
        yield part.read(columns), part.label


def _read_ahead(parts: Iterator[Partition], columns: Sequence[str]) -> Iterator[tuple[Any, str]]:
    """Tables of partitions; while one is worked on, a thread reads the next."""
    with ThreadPoolExecutor(1, thread_name_prefix="nestedmlm-read") as reader:
        now: tuple[Future[Any], str] | None = None
        for part in parts:
            then = (reader.submit(part.read, columns), part.label)
            if now is not None:
                yield now[0].result(), now[1]
            now = then
        if now is not None:
            yield now[0].result(), now[1]


def merged_partitions[Result](
    source: Source,
    columns: Sequence[str],
    function: Callable[[Any, str], Result],
    merge: Callable[[list[Result]], Result],
    what: str,
    *,
    show: bool = False,
) -> Iterator[Result]:
    """Yield results whose merge is that of all partitions; Dask's workers merge them in a tree.

    Parameters
    ----------
    source, columns, function, what, show
        As `each_partition` takes them.
    merge : callable
        ``[results] -> result``.
    """
    if source.delayed is None:
        yield from each_partition(source, columns, function, what, show=show)
    else:
        yield from _on_dask(source, columns, function, merge)


def on_partition[Result](function: Callable[[Any, str], Result], table: Any, label: str) -> Result:
    """Run a function on a partition; its errors name the partition.

    Raises
    ------
    PartitionError
    """
    try:
        return function(table, label)
    except PartitionError:
        raise
    except DataError as error:
        message = str(error)
        if not message.startswith(label):
            message = f"{label}: {message}"
        if type(error) is DataError:
            raise PartitionError(message, label) from error
        raise type(error)(message) from error
    except NestedMLMError:
        raise
    except (TypeError, ValueError, KeyError, ArithmeticError) as error:
        raise PartitionError(f"{label}: {type(error).__name__}: {error}", label) from error


def _on_dask(
    source: Source,
    columns: Sequence[str],
    function: Callable[[Any, str], Any],
    merge: Callable[[list[Any]], Any] | None,
) -> list[Any]:
    from dask.base import compute
    from dask.delayed import delayed

    results = _tasks(source, columns, function)
    labels = {own.key: f"partition {k}" for k, own in enumerate(results)}
    if merge is not None:
        together = delayed(merge, pure=True)
        while len(results) > 1:
            results = [
                together(results[k : k + _BRANCHES]) for k in range(0, len(results), _BRANCHES)
            ]
    return _named(lambda: list(compute(*results)), labels)  # type: ignore[no-untyped-call]


def partitions_on_workers[Result](
    source: Source,
    columns: Sequence[str],
    function: Callable[[Any, str], Result],
    head: Callable[[Result], Result],
) -> tuple[tuple[Any, ...], list[Result]]:
    """Run a function on every partition of a Dask frame, and leave the results where they are.

    Parameters
    ----------
    source, columns, function
        As `each_partition` takes them.
    head : callable
        ``result -> result``: what of each comes here.

    Returns
    -------
    tuple
        The results as Dask's, kept by its workers, in the order of the partitions.
    list
        Their heads.

    Raises
    ------
    PartitionError
        For whatever goes wrong in one.
    """
    from dask.base import compute, persist
    from dask.delayed import delayed

    results = _tasks(source, columns, function)
    labels = {own.key: f"partition {k}" for k, own in enumerate(results)}

    def run() -> tuple[tuple[Any, ...], list[Result]]:
        kept = persist(*results)  # type: ignore[no-untyped-call]
        heads = [delayed(head)(own) for own in kept]
        return kept, list(compute(*heads))  # type: ignore[no-untyped-call]

    return _named(run, labels)


def _tasks(
    source: Source, columns: Sequence[str], function: Callable[[Any, str], Any]
) -> list[Any]:
    from dask.delayed import delayed

    assert source.delayed is not None
    run = delayed(on_partition, pure=True, traverse=False)
    fixed = delayed(function, pure=True, traverse=False)
    return [run(fixed, part, f"partition {k}") for k, part in enumerate(source.delayed(columns))]


def _named[Result](run: Callable[[], Result], labels: Mapping[str, str]) -> Result:
    """What Dask computes; its errors name the partition by the key of its task."""
    try:
        return run()
    except (NestedMLMError, MemoryError):
        raise
    except Exception as error:
        if type(error).__name__ != "KilledWorker":  # distributed's, which need not be there
            raise PartitionError(
                f"a partition of the Dask DataFrame cannot be computed: {type(error).__name__}: "
                f"{error}; frame.partitions[k].compute() says so of the k-th",
                "",
            ) from error
        task: Any = getattr(error, "task", None)
        number = task[-1] if isinstance(task, tuple) else None  # of what makes the partition
        label = labels.get(task, "a partition" if number is None else f"partition {number}")
        raise PartitionError(
            f"{label}: every worker that took it died, most likely for want of memory; make the "
            f"partitions smaller, frame.repartition(partition_size='100MB') ({error})",
            label,
        ) from error
