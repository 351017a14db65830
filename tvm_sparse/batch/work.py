"""What becomes of a part: its rows are read, answered and written, by whoever is given it."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import msgspec

from tvm_sparse.batch.asking import Question
from tvm_sparse.batch.done import Done
from tvm_sparse.batch.outputs import Outputs
from tvm_sparse.batch.parts import Part
from tvm_sparse.batch.predictor import ERROR, PREDICTION, Predictor
from tvm_sparse.batch.rows import Row, read_rows
from tvm_sparse.errors import TvmSparseError

#: Of a row, besides its own columns.
NAME = "row"
#: Of a dataset of parts: each as JSON.
PART = "part"


@dataclass(frozen=True)
class Job:
    """What is the same for all parts.

    Attributes
    ----------
    artifact : str
        The build's directory.
    question : Question
        What every row is asked.
    outputs : Outputs
        Where the answers go.
    threads : int
        Cores of a predictor.
    truncate : bool
        Whether long texts are cut.
    pin : bool
        Whether predictors stay on cores of their own.
    """

    artifact: str
    question: Question
    outputs: Outputs
    threads: int
    truncate: bool
    pin: bool


class Worker:
    """Does parts; what an actor is made of.

    Parameters
    ----------
    job : Job
        The job.

    Attributes
    ----------
    predictor : type
        What answers.
    """

    predictor = Predictor

    def __init__(self, job: Job) -> None:
        began = time.perf_counter()
        self._job = job
        question = job.question
        self._predictor = self.predictor(
            job.artifact,
            question.task,
            column=question.column,
            pair_column=question.pair_column,
            threads=job.threads,
            pin=job.pin,
            truncate=job.truncate,
            **question.options,
        )
        self._load_s = time.perf_counter() - began
        self._name = f"{socket.gethostname()}:{os.getpid()}"

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Do the parts of a batch of Ray Data; a column for each field of `Done`."""
        parts = (msgspec.json.decode(part, type=Part) for part in batch[PART])
        done = [asdict(self.do(part)) for part in parts]
        return {field.name: [one[field.name] for one in done] for field in fields(Done)}

    def do(self, part: Part) -> Done:
        """Read, answer and write a part."""
        began, meter = time.perf_counter(), self._predictor.meter
        before = meter.tokens, meter.padding, self._predictor.cuts, meter.seconds
        try:
            rows = read_rows(part)
            good, bad = self._answered(rows)
            self._job.outputs.write_part(part.index, good, bad)
        except (OSError, ValueError, TvmSparseError) as error:  # of pyarrow too
            last = part.first_row + part.rows - 1
            where = f"rows {part.first_row} to {last} of {part.path}"
            return Done(part.index, fault=f"{where}: {' '.join(str(error).split())}")
        private, shared = memory_of_process()
        return Done(
            part.index,
            self._name,
            len(rows),
            len(good),
            len(bad),
            meter.tokens - before[0],
            meter.padding - before[1],
            self._predictor.cuts - before[2],
            time.perf_counter() - began,
            meter.seconds - before[3],
            self._load_s,
            private,
            shared,
        )

    def _answered(self, rows: list[Row]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Return rows with their answers, and those that have none with the reason."""
        columns = self._job.question.columns
        errors = [row.error or _fault(row, columns) for row in rows]
        asked = [row for row, error in zip(rows, errors, strict=True) if not error]
        found = self._predictor.answer(
            [tuple(row.values[column] for column in columns) for row in asked]
        )
        answers = iter(zip(*found, strict=True))
        good, bad = [], []
        for row, error in zip(rows, errors, strict=True):
            answer, reason = (None, error) if error else next(answers)
            if reason:
                bad.append({NAME: row.name, ERROR: reason, "values": row.values})
            else:
                good.append({NAME: row.name, **row.values, PREDICTION: answer})
        return good, bad


def memory_of_process() -> tuple[int, int]:
    """Return the bytes of memory this process has alone, and its share of those it has with others.

    What it only reads of files, weights above all, is shared: it lies in the page cache, and would
    without this process. Zeros where the system does not tell.
    """
    sizes = {"Private_Dirty": 0, "Pss": 0}
    try:
        lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0, 0
    for line in lines:
        name, _, rest = line.partition(":")
        if name in sizes:
            sizes[name] = int(rest.split()[0]) * 1024
    private = sizes["Private_Dirty"]
    return private, max(sizes["Pss"] - private, 0)


def _fault(row: Row, columns: tuple[str, ...]) -> str:
    missing = [name for name in columns if name not in row.values]
    if missing:
        return f"there is no column {missing[0]!r}"
    taken = [name for name in (NAME, PREDICTION) if name in row.values]
    return f"the column {taken[0]!r} has the name of one that is written" if taken else ""
