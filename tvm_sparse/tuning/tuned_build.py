"""What tuning found; free of TVM."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from tvm_sparse.tiles import NO_TILES, Tiles

#: A build that gains less than this keeps the tiles it had.
_LEAST_GAIN = 0.01


@dataclass(frozen=True)
class TunedProduct:
    """What tuning found for one product of N `units` and K `depth`.

    Attributes
    ----------
    block_shape
        (0, 0) for a dense product.
    calls
        Calls of an inference.
    before, after, before_ms, after_ms
        The tiles it had, those it gets, and the time of a call with each.
    """

    units: int
    depth: int
    block_shape: tuple[int, int]
    calls: int
    before: Tiles
    after: Tiles
    before_ms: float
    after_ms: float


@dataclass(frozen=True)
class TunedBuild:
    """What tuning did to a build.

    Attributes
    ----------
    name : str
        As `formats.builds` has it: `dense`, `int8-sparse`.
    products : tuple of TunedProduct
        Its products.
    before_ms, after_ms : float
        Median latency of the whole model, measured in turns; 0 when no tile changed.
    is_kept : bool
        Whether the new tiles made the whole model faster.
    """

    name: str
    products: tuple[TunedProduct, ...]
    before_ms: float = 0.0
    after_ms: float = 0.0
    is_kept: bool = field(init=False)

    def __post_init__(self) -> None:
        is_kept = self.after_ms < (1 - _LEAST_GAIN) * self.before_ms
        object.__setattr__(self, "is_kept", is_kept)

    @property
    def new_tiles(self) -> Tiles:
        """The tiles that are others than before."""
        found = NO_TILES
        for product in self.products:
            if product.after != product.before:
                found = found.updated(product.after)
        return found


@dataclass(frozen=True)
class TuningRecord:
    """What one tuning found.

    Attributes
    ----------
    builds
        What it found for each build.
    """

    schema_version: Literal[2] = field(default=2, kw_only=True)
    builds: tuple[TunedBuild, ...]
