"""What became of a layer in a build, as records tell it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Decision:
    """What became of one dense layer, and why.

    Attributes
    ----------
    weight : str
        Canonical name of the weight.
    shape : (int, int)
        (N, K): outputs, inputs.
    block_shape : (int, int)
        (bs_r, bs_c) that was asked for.
    element_sparsity : float
        Fraction of zero elements, 0..1.
    block_sparsity : float or None
        Fraction of zero blocks at `block_shape`, 0..1; None where it does not divide the weight.
    eligible : bool
        Whether its name and shape allow it to run sparse.
    action : {"sparse", "dense"}
        How it runs.
    reason : str
        Why.
    flops : int
        Floating-point operations of the layer when dense.
    size_bytes : int
        Size of the dense weight.
    dtype : str
        What its weight is stored in.
    dtype_reason : str
        Why it is stored in float32 in a build that rounds weights, and of integers that come with
        a checkpoint whether they are as they were; empty otherwise.
    int8_error : float or None
        By how much its outputs are off at 8 bits, relative in L2 norm; None where nobody looked.
    """

    weight: str
    shape: tuple[int, int]
    block_shape: tuple[int, int]
    element_sparsity: float
    block_sparsity: float | None
    eligible: bool
    action: Literal["sparse", "dense"]
    reason: str
    flops: int
    size_bytes: int
    dtype: str = "float32"
    dtype_reason: str = ""
    int8_error: float | None = None
