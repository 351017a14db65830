"""The record of what serving costs, and its JSON form.

`scripts/bench_serve.py` writes it; a change of it needs a new `schema_version`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tvm_sparse.bench.environment import Environment
from tvm_sparse.errors import ConfigError
from tvm_sparse.records.read import read_record


@dataclass(frozen=True)
class Figure:
    """One thing that was measured.

    Attributes
    ----------
    case : str
        What it belongs to: figures of one case were measured together.
    what : str
        What it is, in words.
    value : float
        The median of the rounds, where there were several.
    unit : str
        Of the value: "ms", "us", "s", "MB", "1/s", "x" for a ratio, "%".
    target : float or None
        What it should be.
    at_least : bool
        Whether the target is a lower limit.
    rounds : tuple of float
        The value of each round.
    """

    case: str
    what: str
    value: float
    unit: str
    target: float | None = None
    at_least: bool = False
    rounds: tuple[float, ...] = ()

    @property
    def is_met(self) -> bool:
        """Whether it is what it should be."""
        if self.target is None:
            return True
        return self.value >= self.target if self.at_least else self.value <= self.target


@dataclass(frozen=True)
class Case:
    """Where and when the figures of one case were measured.

    Attributes
    ----------
    name : str
        Of the case.
    created : str
        ISO 8601 in UTC.
    load_average_1m : float or None
        Load average over the minute before it.
    seconds : float
        How long it took.
    others : float or None
        Cores that other processes used in the rounds, median; None where there were no rounds.
    """

    name: str
    created: str
    load_average_1m: float | None
    seconds: float
    others: float | None = None


@dataclass(frozen=True)
class ServingRecord:
    """What serving costs on one machine.

    Attributes
    ----------
    environment
        Where it was measured.
    programs : dict of str to str
        Versions of the programs that made the load, and of other engines.
    cases : tuple of Case
        In the order they were measured.
    figures : tuple of Figure
        In the order of the table.
    """

    schema_version: Literal[1] = field(default=1, kw_only=True)
    environment: Environment
    programs: dict[str, str]
    cases: tuple[Case, ...]
    figures: tuple[Figure, ...]

    def value(self, case: str, what: str) -> float | None:
        """Return a figure, None if it was not measured."""
        found = (one.value for one in self.figures if (one.case, one.what) == (case, what))
        return next(found, None)


def load_serving_record(path: str | Path) -> ServingRecord:
    """Read a record that `scripts/bench_serve.py` wrote.

    Raises
    ------
    ConfigError
        The file cannot be read, or is no record of this schema version.
    """
    advice = "give a file that scripts/bench_serve.py of this version wrote"
    return read_record(path, ServingRecord, ConfigError, advice)
