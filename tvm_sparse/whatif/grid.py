"""The grid of a study: every combination of its axes is a point."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from math import prod
from typing import Any, Literal

from tvm_sparse.config.micro_batches import choose_micro_batch
from tvm_sparse.config.model import ModelSpec
from tvm_sparse.errors import ConfigError
from tvm_sparse.host import available_cores, threads_here
from tvm_sparse.sizes import Extent, block_name
from tvm_sparse.tuning.setting import Setting

#: What pruned transformers are published at.
_USUAL_SPARSITY = 0.9
Mode = Literal["decide", "predict", "measure"]
#: The sparsities people ask about (SparseML's grid).
DEFAULT_SPARSITIES = (0.0, 0.4, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.975, 0.99)
#: A year's work on most machines.
_MOST_POINTS = 100_000
DEFAULT_BLOCK_SHAPES = ((1, 1), (4, 1), (16, 1), (32, 1))
#: Beside products of 8 bits, for which blocks of whole words of four inputs are best.
_ROUNDED_BLOCK_SHAPES = ((1, 1), (4, 1), (1, 4), (4, 4))


def usual_block_shapes(scheme: str | None) -> tuple[tuple[int, int], ...]:
    """Return the block shapes of a study that names none, with products of 8 bits or without."""
    return DEFAULT_BLOCK_SHAPES if scheme is None else _ROUNDED_BLOCK_SHAPES


def usual_sparsity(sparsities: Iterable[float]) -> float:
    """Return the one of some sparsities at which block shapes are compared."""
    return min(sorted({*sparsities}), key=lambda sparsity: abs(sparsity - _USUAL_SPARSITY))


@dataclass(frozen=True, order=True)
class Point:
    """One place of the grid: block sparsity 0..1, (bs_r, bs_c), and where it runs."""

    setting: Setting
    block_shape: tuple[int, int]
    sparsity: float

    def __str__(self) -> str:
        return f"{block_name(self.block_shape)} at {self.sparsity:.1%}, {self.setting}"


@dataclass(frozen=True)
class Grid:
    """The axes of a study; every combination is a point.

    Parameters
    ----------
    sparsities : tuple of float
        Block sparsities, 0..1.
    block_shapes : tuple of (int, int)
        (bs_r, bs_c).
    seq_lens, batches, threads : tuple of int
        Tokens, sequences, threads.
    shapes : tuple of (int, int)
        If there are some, all of them, (batch, seq_len), are run by one build that takes any up to
        the one number of `batches` and of `seq_lens`.

    Raises
    ------
    ConfigError
        An empty axis or a value out of range.
    """

    sparsities: tuple[float, ...] = DEFAULT_SPARSITIES
    block_shapes: tuple[tuple[int, int], ...] = DEFAULT_BLOCK_SHAPES
    seq_lens: tuple[int, ...] = (128,)
    batches: tuple[int, ...] = (1,)
    threads: tuple[int, ...] = field(default_factory=lambda: (available_cores(),))
    shapes: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        for name, values in self.to_json().items():
            if not values:
                raise ConfigError(f"no {name} given: the grid is empty, give at least one value")
        for sparsity in self.sparsities:
            if not 0 <= sparsity <= 1:
                raise ConfigError(
                    f"sparsity {sparsity:g} given: it is a fraction between 0 and 1, "
                    "for example 0.95 for 95 % zeros"
                )
        for block_shape in self.block_shapes:
            if min(block_shape) < 1:
                raise ConfigError(f"block {block_name(block_shape)} given: both must be over 0")
        for name, numbers in (("seq-len", self.seq_lens), ("batch", self.batches)):
            for number in numbers:
                if number < 1:
                    raise ConfigError(f"{name} {number} given: it must be at least 1")
        for number in self.threads:
            threads_here(number)
        if self.shapes:
            if (len(self.batches), len(self.seq_lens)) != (1, 1):
                raise ConfigError(
                    "shapes given with several lengths or batches: one build of any shape has one "
                    "largest length and one largest batch, for example --seq-len 1:512 --batch 1:32"
                )
            ModelSpec(
                "any", seq_len=self.seq_lens[0], batch=self.batches[0], is_open=True
            ).check_shapes(self.shapes)
        points = prod(len(set(values)) for values in self.to_json().values())
        if points > _MOST_POINTS:
            raise ConfigError(f"a grid of {points} points given: {_MOST_POINTS} are the most")

    @property
    def is_open(self) -> bool:
        """Whether one build runs at all shapes."""
        return bool(self.shapes)

    @property
    def settings(self) -> list[Setting]:
        """Input shapes and thread counts, in order."""
        if self.shapes:
            limits, threads = (self.batches[0], self.seq_lens[0]), sorted(set(self.threads))
            places = itertools.product(dict.fromkeys(self.shapes), threads)
            return [Setting.open_at(shape, count, limits) for shape, count in places]
        axes = (sorted(set(axis)) for axis in (self.seq_lens, self.batches, self.threads))
        cores = available_cores()
        return [
            Setting(seq_len, batch, threads, choose_micro_batch(batch, seq_len, cores))
            for seq_len, batch, threads in itertools.product(*axes)
        ]

    @property
    def unique_block_shapes(self) -> list[tuple[int, int]]:
        """Block shapes, each once, in order."""
        return sorted(set(self.block_shapes))

    @property
    def points(self) -> list[Point]:
        """All points, in order."""
        return [
            Point(setting, block_shape, sparsity)
            for setting in self.settings
            for block_shape in self.unique_block_shapes
            for sparsity in sorted(set(self.sparsities))
        ]

    def to_json(self) -> dict[str, Any]:
        """Return the axes under the names of the YAML file."""
        axes: dict[str, Any] = {
            "sparsity": list(self.sparsities),
            "block_shape": [block_name(shape) for shape in self.block_shapes],
            "seq_len": list(self.seq_lens),
            "batch": list(self.batches),
            "threads": list(self.threads),
        }
        if self.shapes:
            axes |= {
                name: [str(Extent(most, is_open=True)) for most in axes[name]]
                for name in ("seq_len", "batch")
            }
            axes["shape"] = [block_name(shape) for shape in self.shapes]
        return axes


@dataclass(frozen=True)
class Targets:
    """What the study is asked to find a sparsity for.

    Parameters
    ----------
    latency_ms : float or None
        Latency budget of one inference.
    items_per_s_per_core : float or None
        Batch items per second and thread.
    """

    latency_ms: float | None = None
    items_per_s_per_core: float | None = None

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value is not None and not value > 0:
                raise ConfigError(f"target {name} {value:g} given: it must be over 0")

    def budget_ms(self, setting: Setting) -> float | None:
        """Return the latency that meets all targets, None without one."""
        budgets = [self.latency_ms] if self.latency_ms else []
        if self.items_per_s_per_core:
            budgets.append(1e3 * setting.batch / (self.items_per_s_per_core * setting.threads))
        return min(budgets) if budgets else None
