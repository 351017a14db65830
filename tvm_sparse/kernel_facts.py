"""What a kernel computes, told once where it is made.

Whoever counts, times, replaces or tunes kernels reads this instead of their names. Free of TVM.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

#: The kernels of this package by their own names, and what TVM generates.
Kind = Literal[
    "packed_dense",
    "row_dense",
    "sparse_dense",
    "attention",
    "first_token_attention",
    "layer_norm",
    "rms_norm",
    "rotation",
    "gated_unit",
    "token_window",
    "pack_tokens",
    "unpack_tokens",
    "gather_tokens",
    "first_tokens",
    "quantize_tokens",
    "tvm_matmul",
    "other",
]
Part = Literal["products", "attention", "norms", "rest"]
#: What the time of an inference is divided into.
PARTS: tuple[Part, ...] = get_args(Part)

_PARTS: dict[Kind, Part] = {
    "packed_dense": "products",
    "row_dense": "products",
    "sparse_dense": "products",
    "tvm_matmul": "products",
    # What products of integers cost beside themselves.
    "quantize_tokens": "products",
    "attention": "attention",
    "first_token_attention": "attention",
    "layer_norm": "norms",
    "rms_norm": "norms",
}


@dataclass(frozen=True)
class Epilogue:
    """The fused tail of a dense or sparse product.

    out = activation(accumulator + bias[n]) + residual[tile, n, t]

    Parameters
    ----------
    bias, residual : bool
        Whether the kernel takes that operand.
    activation : str
        A key of `kernels.activations.ACTIVATIONS`.
    """

    bias: bool = False
    residual: bool = False
    activation: str = "none"

    @property
    def words(self) -> list[str]:
        """What it does, in order."""
        activation = [] if self.activation == "none" else [self.activation]
        return ["bias"] * self.bias + activation + ["residual"] * self.residual


@dataclass(frozen=True)
class KernelFacts:
    """What one kernel computes.

    Parameters
    ----------
    kind : Kind
        Which kernel.
    units, depth : int
        N and K of a product, heads and features of a head for attention and rotation, features and
        0 for a norm, a gated unit or what quantises tokens, features and summed tokens of a
        convolution along tokens; 0 for everything else. Kernels that
        take products of any size say 0; what is said of their calls has the sizes, and no
        activation where a call leaves out that of the kernel.
    block_shape : (int, int)
        (bs_r, bs_c) of a sparse product, (0, 0) otherwise.
    epilogue : Epilogue
        What is fused into it; a layer norm may take a residual, a gated unit has an activation.
    dtype : str
        Of its weights, and of the activations it multiplies.
    """

    kind: Kind = "other"
    units: int = 0
    depth: int = 0
    block_shape: tuple[int, int] = (0, 0)
    epilogue: Epilogue = Epilogue()
    dtype: str = "float32"

    @property
    def part(self) -> Part:
        """To which of `PARTS` its time belongs."""
        return _PARTS.get(self.kind, "rest")

    @property
    def name(self) -> str:
        """Name of the kernel; a module numbers different kernels of one name."""
        sizes = [(self.units, self.depth) if self.depth else (self.units,), self.block_shape]
        shown = ["x".join(map(str, size)) for size in sizes if any(size)]
        dtype = [] if self.dtype == "float32" else [self.dtype.replace("-", "_")]
        return "_".join([self.kind, *dtype, *shown, *self.epilogue.words])

    def as_dense(self) -> KernelFacts:
        """Return the dense product in place of a sparse one."""
        return replace(self, kind="packed_dense", block_shape=(0, 0))

    def as_sparse(self, block_shape: tuple[int, int]) -> KernelFacts:
        """Return the sparse product in place of a dense one."""
        return replace(self, kind="sparse_dense", block_shape=block_shape)
