"""Which kernel a micro-benchmark runs; free of TVM, so that parent and child both know it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from tvm_sparse.errors import BuildError
from tvm_sparse.formats.builds import BuildSpec
from tvm_sparse.formats.registry import format_of, unrounded, weights_of
from tvm_sparse.formats.token_layout import TokenLayout, choose_layout, choose_open_layout
from tvm_sparse.formats.weight_format import ProductShape, WeightFormat
from tvm_sparse.kernel_facts import KernelFacts
from tvm_sparse.records.read import check_record
from tvm_sparse.target import CpuTarget
from tvm_sparse.tiles import Tiles

#: Share of non-zero blocks at which a sparse kernel is timed; times between are interpolated.
DENSITIES = (0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 1.0)


@dataclass(frozen=True)
class KernelJob:
    """One kernel, at the shapes it has in a model.

    Attributes
    ----------
    kernel : KernelFacts
        Which kernel: a dense or sparse product of token tiles, attention or a layer norm.
    batch, seq_len : int
        Extents in sequences and tokens.
    layout_rows : int
        `bs_r` of the build, which decides its token tile; 0 for a dense build.
    num_weights : int
        Weights of all products of the model that run the same way: how much is read before the
        kernel meets the same weight again.
    tiles : Tiles or None
        Tuned tiles; None for those the machine has.
    is_open : bool
        Whether it is of a build that takes any batch and length.
    layout_dtype : str
        In which the dense layers of its build multiply, which decides its token tile; as the
        kernel does, by default.
    """

    kernel: KernelFacts
    batch: int
    seq_len: int
    layout_rows: int = 0
    num_weights: int = 0
    tiles: Tiles | None = None
    is_open: bool = False
    layout_dtype: str = ""

    @property
    def weights(self) -> type[WeightFormat] | None:
        """Format of the weights it multiplies, None for what is no product."""
        return format_of(self.kernel.kind, self.kernel.dtype)

    @property
    def densities(self) -> tuple[float, ...]:
        """Densities to time it at."""
        return DENSITIES if self.weights is not None and self.weights.is_sparse else (1.0,)

    def layout(self, target: CpuTarget) -> TokenLayout:
        """Return the token layout of its build."""
        if self.is_open:
            return choose_open_layout(target, self.layout_rows)
        return choose_layout(self.batch, self.seq_len, target, self.layout_rows)

    def working_set_bytes(self, density: float) -> float:
        """Return how many bytes of weights the model reads at a density of 0..1."""
        return self._bytes(self.num_weights * density)

    def weight_bytes(self, density: float) -> float:
        """Return how many of them are this product's."""
        return self._bytes(self.kernel.units * self.kernel.depth * density)

    def flops(self, density: float) -> float:
        """Return its floating-point operations on non-zeros; 0 for what is no product."""
        if self.weights is None:
            return 0.0
        operations = 2.0 * self.batch * self.seq_len * self.kernel.units * self.kernel.depth
        return operations * density

    def _bytes(self, num_weights: float) -> float:
        if self.weights is None:
            return 0.0
        return num_weights * self.weights.bytes_per_weight(self.kernel.block_shape)

    def with_tiles(self, tiles: Tiles) -> KernelJob:
        """Return the job with those of a machine's tiles that matter to it, unless it has some."""
        if self.tiles is not None:
            return self
        facts = self.kernel
        own = tiles.of_product(
            *((facts.units, facts.depth), facts.block_shape, self.layout_rows, self.seq_len),
            dtype=facts.dtype,
            layout_dtype=self.layout_dtype,
        )
        return replace(self, tiles=own)

    def as_dense(self) -> KernelJob:
        """Return the dense product in whose place a sparse one would run, in a dense build."""
        return replace(self, kernel=self.kernel.as_dense(), layout_rows=0)

    def as_sparse(self, block_shape: tuple[int, int]) -> KernelJob:
        """Return the product with a weight in blocks, in a build of such."""
        return replace(self, kernel=self.kernel.as_sparse(block_shape), layout_rows=block_shape[0])


def build_kernel(kernel: KernelFacts, build: BuildSpec) -> KernelFacts:
    """Return a product, dense or sparse, as a build runs it.

    In the build's format, or in what the build keeps weights in that the format cannot hold.
    """
    is_sparse = kernel.block_shape != (0, 0)
    weights = weights_of(build, is_sparse)
    layout = TokenLayout(1, 1, 1, 1)  # which formats hold a weight is no matter of tokens
    shape = ProductShape(kernel.units, kernel.depth, layout, kernel.block_shape)
    held = unrounded(weights) if weights.refusal(shape) else weights
    return replace(kernel, dtype=held.dtype)


def read_jobs(documents: Sequence[Any]) -> list[KernelJob]:
    """Return the jobs that a request holds in their JSON form."""
    return [check_record(one, KernelJob, "the job", BuildError) for one in documents]
