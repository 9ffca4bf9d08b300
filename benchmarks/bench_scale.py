"""Rows by the million: reading, summing and fitting a Parquet file of nested groups.

python -m benchmarks.bench_scale                 10 million rows in 100,000 classes (2 minutes)
python -m benchmarks.bench_scale --rows 1e8      ten times as many: 2.5 GB of files

Prints CPU and wall seconds of reading the columns, of the sums (which read them, too) and of the
fit, the ratio of the sums to the reading, and the largest memory of the process.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

import nestedmlm as nm

FORMULA = "score ~ ses + age + sector + (ses | schoolid) + (ses | classid)"
COLUMNS = ["score", "ses", "age", "sector", "schoolid", "classid"]
FILE_ROWS = 5_000_000  # rows of one file
GROUP_ROWS = 500_000  # rows of one row group
CLASS, SCHOOL = 100, 2_000  # pupils of each
TURNS = 3  # of reading and summing


def write(folder: Path, rows: int) -> None:
    for number, low in enumerate(range(0, rows, FILE_ROWS)):
        n = min(FILE_ROWS, rows - low)
        rng = np.random.default_rng(number)
        row = np.arange(low, low + n)
        school, room = row // SCHOOL, row // CLASS
        own = (school - school[0], room - room[0])
        u, v = (0.4 * rng.normal(size=(int(g[-1]) + 1, 2))[g] for g in own)
        ses, age = rng.normal(size=n), rng.normal(size=n)
        data = pd.DataFrame(
            {
                "score": 1 + 0.3 * ses + u[:, 0] + v[:, 0] + (u[:, 1] + v[:, 1]) * ses
                + rng.normal(size=n),
                "ses": ses,
                "age": age,
                "sector": pd.Categorical.from_codes(school % 2, ["private", "public"]),
                "schoolid": school.astype(np.int32),
                "classid": room.astype(np.int32),
            }
        )  # fmt: skip
        table = pa.Table.from_pandas(data, preserve_index=False)
        pq.write_table(table, folder / f"{number:04d}.parquet", row_group_size=GROUP_ROWS)


def read(folder: Path) -> int:
    total = 0
    for path in sorted(folder.glob("*.parquet")):
        file = pq.ParquetFile(path)
        for group in range(file.num_row_groups):
            total += file.read_row_group(group, columns=COLUMNS).num_rows
    return total


def timed[R](what: str, function: Callable[..., R], *arguments: Any) -> tuple[R, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    result = function(*arguments)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    print(f"{what:24} {cpu:8.2f} CPU s {wall:8.2f} s   peak {peak:.2f} GiB")
    return result, cpu


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rows", type=float, default=1e7)
    rows = int(parser.parse_args(arguments).rows)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # elsewhere: the largest memory is then that of reading, summing and fitting
        writer = get_context("spawn").Process(target=write, args=(folder, rows))
        writer.start()
        writer.join()
        timed("reading, first", read, folder)
        reading, summing = [], []
        for _ in range(TURNS):  # in turns: other processes slow down both
            reading.append(timed("reading, warm", read, folder)[1])
            summary, cpu = timed("sums, with reading", nm.summarise, FORMULA, folder)
            summing.append(cpu)
        fit, _ = timed("fit from the sums", summary.fit)
        ratio, row = min(summing) / min(reading), 1e9 * min(summing) / rows
        print(f"sums / reading, the quickest of each: {ratio:.1f}; {row:.0f} ns a row")
        print(f"{summary!r}\ncriterion {fit.criterion:.6f}, certified: {fit.converged}")


if __name__ == "__main__":
    main()
