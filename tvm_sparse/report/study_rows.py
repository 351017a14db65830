"""A what-if study as flat rows: what its CSV holds, its tables show and its charts draw."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

from tvm_sparse.formats.builds import DENSE
from tvm_sparse.words import counted


@dataclass(frozen=True, order=True)
class Shape:
    """The static shape and the threads that builds are compared at."""

    batch: int
    seq_len: int
    threads: int

    def __str__(self) -> str:
        threads = counted(self.threads, "thread")
        tokens = f", {counted(self.seq_len, 'token')}" if self.seq_len else ""
        return f"batch {self.batch}{tokens}, {threads}"


@dataclass(frozen=True)
class StudyRow:
    """One build at one shape: predicted, measured, or both.

    Attributes
    ----------
    batch, seq_len, threads : int
        Its shape.
    build : str
        `dense`, `sparse`, or one of 8 bits.
    block_shape : str
        Blocks of a sparse build, `4x1`, of one of 8 bits `4x4 INT8` or `dense INT8`; empty for the
        float32 dense one.
    sparsity : float
        Share of zero blocks in the eligible layers, 0..1.
    method : str
        How the zeros were chosen.
    latency_ms, speedup : float or None
        What is known best: measured, or else predicted and corrected by what was measured around.
    predicted_ms, measured_ms : float or None
        Latency of one inference; the measured one is the tenth percentile of the rounds.
    adjusted_ms : float or None
        The prediction at the speed the machine had when the build was measured, which the dense
        build beside it tells.
    prediction_error : float or None
        (adjusted - measured) / measured.
    predicted_speedup, measured_speedup, speedup_p10, speedup_p90 : float or None
        Over the dense build at the same shape; the percentiles are over paired rounds.
    expected_speedup : float or None
        The predicted one, corrected to go through what was measured undisturbed.
    amdahl_limit : float or None
        Of a sparse build: its speed-up if what runs sparse took no time; None without bound.
    products_ms, attention_ms, norms_ms, rest_ms : float or None
        The latency by part.
    parts_from : str
        `measured` or `predicted`; empty when the parts are not known.
    weights_bytes, peak_memory_bytes : int or None
        Size of the weights in memory, and the largest resident memory of the process.
    fidelity : float or None
        How well the outputs agree with those of the dense model, 1 for equal.
    disturbed : bool
        Whether something else slowed the machine while it was measured.
    doubted : bool
        Whether its prediction cannot be relied on.
    """

    batch: int
    seq_len: int
    threads: int
    build: str
    block_shape: str
    sparsity: float
    method: str = ""
    latency_ms: float | None = None
    speedup: float | None = None
    predicted_ms: float | None = None
    measured_ms: float | None = None
    adjusted_ms: float | None = None
    prediction_error: float | None = None
    predicted_speedup: float | None = None
    expected_speedup: float | None = None
    measured_speedup: float | None = None
    speedup_p10: float | None = None
    speedup_p90: float | None = None
    amdahl_limit: float | None = None
    products_ms: float | None = None
    attention_ms: float | None = None
    norms_ms: float | None = None
    rest_ms: float | None = None
    parts_from: str = ""
    weights_bytes: int | None = None
    peak_memory_bytes: int | None = None
    fidelity: float | None = None
    disturbed: bool = False
    doubted: bool = False

    @property
    def shape(self) -> Shape:
        """Batch, tokens and threads."""
        return Shape(self.batch, self.seq_len, self.threads)

    @property
    def parts_ms(self) -> dict[str, float]:
        """Time by part, empty when it is not known."""
        parts = {
            "products": self.products_ms,
            "attention": self.attention_ms,
            "norms": self.norms_ms,
            "rest": self.rest_ms,
        }
        return {name: value for name, value in parts.items() if value is not None}

    @property
    def speedup_spread(self) -> tuple[float, float]:
        """How far the 10th and the 90th percentile lie below and above the measured speed-up.

        By noise the median of all runs may lie outside of what paired rounds give: 0 then.
        """
        if self.measured_speedup is None or self.speedup_p10 is None or self.speedup_p90 is None:
            return 0.0, 0.0
        speedup = self.measured_speedup
        return max(0.0, speedup - self.speedup_p10), max(0.0, self.speedup_p90 - speedup)


@dataclass(frozen=True)
class StudyLayer:
    """One product of the dense build, and what it would take sparse.

    Attributes
    ----------
    shape : Shape
        Where.
    layer, kernel : str
        The layers that one kernel call multiplies, and the kernel.
    dense_ms : float
        Time of the call in the dense build.
    share : float
        Of the dense build's latency, 0..1.
    sparse_ms : dict of str to float
        Predicted time, by block shape and sparsity: `4x1 at 95%`.
    stays_dense : dict of str to str
        By block shape why it stays dense, empty if it would not.
    """

    shape: Shape
    layer: str
    kernel: str
    dense_ms: float
    share: float
    sparse_ms: dict[str, float]
    stays_dense: dict[str, str]


def shapes_of(rows: Iterable[StudyRow]) -> list[Shape]:
    """Return the shapes of a study, smallest first."""
    return sorted({row.shape for row in rows})


def blocks_of(rows: Iterable[StudyRow]) -> list[str]:
    """Return the block shapes of a study by their size, those of 8 bits (`4x4 INT8`) last."""

    def size(block: str) -> tuple[bool, int, int]:
        shape, _, rounded = block.partition(" ")
        if shape == "dense":
            return bool(rounded), 0, 0
        block_rows, block_columns = map(int, shape.split("x"))
        return bool(rounded), block_columns, block_rows

    return sorted({row.block_shape for row in rows if row.block_shape}, key=size)


def dense_row(rows: Iterable[StudyRow], shape: Shape) -> StudyRow | None:
    """Return the dense build at a shape, None if the study has none."""
    return next((row for row in rows if row.build == DENSE.name and row.shape == shape), None)


def sparse_rows(rows: Iterable[StudyRow], shape: Shape, block: str) -> list[StudyRow]:
    """Return the builds with one block shape at one shape, least sparse first.

    One per sparsity: pruning methods differ in fidelity, and not in speed.
    """
    found = [row for row in rows if row.block_shape == block and row.shape == shape]
    by_sparsity = {row.sparsity: row for row in reversed(found)}
    return [by_sparsity[sparsity] for sparsity in sorted(by_sparsity)]


def limit_of(rows: Iterable[StudyRow], shape: Shape, block: str) -> float | None:
    """Return Amdahl's limit of a block shape at a shape, None without bound."""
    return next((row.amdahl_limit for row in sparse_rows(rows, shape, block)), None)


def ideal_speedup(limit: float, sparsity: float) -> float:
    """Return the speed-up if what runs sparse cost what its non-zeros cost, and no more.

    Parameters
    ----------
    limit : float
        Amdahl's limit: the speed-up if that cost nothing.
    sparsity : float
        Share of zeros, 0..1.
    """
    convertible = 1 - 1 / limit
    return 1 / (1 - sparsity * convertible)


def rows_csv(rows: Sequence[StudyRow]) -> str:
    """Return the rows as CSV, a column per field; what is not known is empty."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    names = [field.name for field in fields(StudyRow)]
    writer.writerow(names)
    writer.writerows([getattr(row, name) for name in names] for row in rows)
    return stream.getvalue()
