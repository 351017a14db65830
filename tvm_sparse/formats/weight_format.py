"""What a weight format is: how the weights of products lie in memory for their kernels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

from numpy.typing import NDArray

from tvm_sparse.formats.token_layout import TokenLayout
from tvm_sparse.target import CpuTarget, bits_of

#: A weight as the graph holds it before packing: the matrix (N, K), or data, indices and indptr of
#: its blocks.
Weight: TypeAlias = Sequence[NDArray[Any]]


@dataclass(frozen=True)
class ProductShape:
    """What a product multiplies: a weight of N `units` and K `depth` with data of a layout.

    Attributes
    ----------
    block_shape : (int, int)
        (bs_r, bs_c) of a sparse weight, (0, 0) of a dense one.
    density : float
        Share of the blocks that are stored, 0..1.
    """

    units: int
    depth: int
    layout: TokenLayout
    block_shape: tuple[int, int] = (0, 0)
    density: float = 1.0

    @property
    def flops(self) -> float:
        """Floating-point operations on what is stored."""
        layout = self.layout
        return 2.0 * layout.batch * layout.seq_len * self.units * self.depth * self.density


class WeightFormat(ABC):
    """A format; an instance says how its kernel's tiles want one weight packed.

    Attributes
    ----------
    name, dtype
        What the format is called, and the type of its values.
    is_sparse
        Whether it packs blocks rather than a matrix.
    arrays
        What the arrays of a packed weight are called behind its name, in the order in which the
        kernels take them.
    kernels
        The kinds of kernels that read it.
    unrounded
        Where the values are rounded, the name of the format that holds them as they are, for the
        layers that `refusal` speaks of.
    wide
        Where sums may have no room for the integers that a checkpoint comes with, the name of the
        format whose sums always have.
    """

    name: ClassVar[str]
    dtype: ClassVar[str] = "float32"
    is_sparse: ClassVar[bool] = False
    arrays: ClassVar[tuple[str, ...]]
    kernels: ClassVar[tuple[str, ...]]
    unrounded: ClassVar[str | None] = None
    wide: ClassVar[str | None] = None

    @classmethod
    def refusal(cls, shape: ProductShape) -> str:
        """Return why it cannot hold the weight of a product; empty where it can."""
        return ""

    @classmethod
    @abstractmethod
    def choose(cls, shape: ProductShape, target: CpuTarget) -> WeightFormat:
        """Choose how the weight of a product is packed."""

    @property
    @abstractmethod
    def tile(self) -> int:
        """What must be equal for two layers to read the same packed weight."""

    @abstractmethod
    def pack(self, weight: Weight, depth: int) -> tuple[NDArray[Any], ...]:
        """Return the packed arrays of a weight with `depth` inputs K."""

    @classmethod
    @abstractmethod
    def stack(cls, weights: Sequence[Weight]) -> Weight:
        """Return weights of the same inputs as one, the outputs behind each other."""

    @classmethod
    @abstractmethod
    def bytes_per_weight(cls, block_shape: tuple[int, int] = (0, 0)) -> float:
        """Return the bytes a kernel reads for a stored weight, its share of an offset included."""

    @abstractmethod
    def size_bytes(
        self, shape: tuple[int, int], block_shape: tuple[int, int] = (0, 0), density: float = 1.0
    ) -> float:
        """Return the bytes of a packed weight (N, K) of which a share of the blocks is stored."""

    @classmethod
    def value_bytes(cls) -> float:
        """Return the bytes of one value."""
        return bits_of(cls.dtype) / 8
