"""The record of a study: what was asked, predicted and measured, on which machine.

Described in docs/what-if.md; a change of its form needs a new `schema_version`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tvm_sparse.bench.environment import Environment
from tvm_sparse.errors import ConfigError
from tvm_sparse.model.facts import ModelDescription, WeightsFacts
from tvm_sparse.records.read import read_record
from tvm_sparse.whatif.economy import Pricing
from tvm_sparse.whatif.grid import Mode, Targets
from tvm_sparse.whatif.point_results import Doubt, PointResult, SettingResult
from tvm_sparse.whatif.rounded_point import RoundedPoint


@dataclass(frozen=True)
class Answer:
    """One answer in plain words.

    Attributes
    ----------
    topic : str
        What it answers: reliability, verdict, break_even, target, best_block, memory, limit,
        shapes, int8, rounding, prediction, disturbed, accuracy.
    text : str
        One or two sentences.
    facts : dict
        The numbers behind them.
    """

    topic: str
    text: str
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Alternative:
    """Another way to a faster model, measured beside the dense build.

    Attributes
    ----------
    engine : str
        Its name, for tables.
    seq_len, batch, threads : int
        Where.
    status : {"measured", "not installed", "failed"}
        Whether there is something to tell.
    detail : str
        Its version, or why it was not measured.
    latency_ms, dense_ms, speedup : float or None
        Tenth percentiles of it and of our dense build beside it, and their ratio; None if not
        measured.
    max_absolute_error : float or None
        Largest difference of its outputs from TensorFlow's.
    disturbed : bool
        Whether something else kept the machine busy, see `bench.disturbance`.
    """

    engine: str
    seq_len: int
    batch: int
    threads: int
    status: Literal["measured", "not installed", "failed"]
    detail: str
    latency_ms: float | None = None
    dense_ms: float | None = None
    speedup: float | None = None
    max_absolute_error: float | None = None
    disturbed: bool = False


@dataclass(frozen=True)
class FidelityPoint:
    """What real pruning costs at one point.

    Attributes
    ----------
    method, block : str
        How the zeros were chosen, and the block shape (`4x1`).
    sparsity : float
        Block sparsity, 0..1.
    fidelity : float or None
        The main measure; None where texts do not tell it.
    measures : dict of str to float
        All measures, see `fidelity.views`.
    """

    method: str
    block: str
    sparsity: float
    fidelity: float | None
    measures: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class StudyFidelity:
    """What real pruning costs at the points' sparsities.

    Attributes
    ----------
    measure, meaning : str
        Name of the main measure, and what it is, in words.
    points : tuple of FidelityPoint
        By method, block shape and sparsity.
    """

    measure: str
    meaning: str
    points: tuple[FidelityPoint, ...]


@dataclass(frozen=True)
class Study:
    """One study.

    Attributes
    ----------
    created : str
        ISO 8601 in UTC.
    command : str
        The command that repeats it.
    mode : {"decide", "predict", "measure"}
        Whether the points that decide, none, or all were measured.
    model : ModelDescription
        Which model.
    weights : WeightsFacts
        Where its weights come from.
    spec : dict
        Model spec, and how points become sparse.
    grid, targets, pricing : dict, Targets, Pricing
        What was asked.
    environment : Environment
        Where it ran; its `threads` is the largest number used.
    settings : tuple of SettingResult
        Dense builds.
    points : tuple of PointResult
        The whole grid.
    answers : tuple of Answer
        In the order to read them.
    doubts : tuple of Doubt
        Predictions that cannot be relied on: answers leave them out.
    alternatives : tuple of Alternative
        Other ways to the same end: other engines, measured here.
    rounded : tuple of RoundedPoint
        The same builds with products of 8 bits; empty if nobody asked.
    refused : tuple of str
        Records that were left out, and why.
    fidelity : StudyFidelity or None
        What real pruning costs; None if nobody asked.
    """

    schema_version: Literal[5] = field(default=5, kw_only=True)
    created: str
    command: str
    mode: Mode
    model: ModelDescription
    weights: WeightsFacts
    spec: dict[str, Any]
    grid: dict[str, Any]
    targets: Targets
    pricing: Pricing
    environment: Environment
    settings: tuple[SettingResult, ...]
    points: tuple[PointResult, ...]
    answers: tuple[Answer, ...] = ()
    doubts: tuple[Doubt, ...] = ()
    alternatives: tuple[Alternative, ...] = ()
    rounded: tuple[RoundedPoint, ...] = ()
    refused: tuple[str, ...] = ()
    fidelity: StudyFidelity | None = None

    @property
    def builds(self) -> str:
        """What its builds are for, in words."""
        limits = self.settings[0].setting.limits
        if limits is None:
            return "a build for each shape"
        return f"one build for any shape up to {limits[0]}x{limits[1]}"


def load_study(path: str | Path) -> Study:
    """Read a study that `tvm-sparse what-if --json` wrote.

    Raises
    ------
    ConfigError
        If the file cannot be read or is no study of this schema version.
    """
    advice = "give a file that `tvm-sparse what-if` of this version wrote"
    return read_record(path, Study, ConfigError, advice)
