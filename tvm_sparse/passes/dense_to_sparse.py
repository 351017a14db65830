"""Rewrite dense layers to `tvm_sparse.sparse_dense`, given the structure of their blocks.

The pass looks at no weight values: it is told which weights are block-sparse and how many blocks
each stores. `bsr_dense.convert` packs the values and calls it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import tvm
import tvm_ffi
from tvm import relax

from tvm_sparse.errors import PassError
from tvm_sparse.ir.dense_layers import DenseWeight, find_dense_weights
from tvm_sparse.ir.functions import main_function
from tvm_sparse.ops.sparse_dense import SparseDense
from tvm_sparse.passes.replace_weights import Replacement, replace_weights

# TVM runs passes behind its C interface and would raise this as a RuntimeError.
tvm_ffi.register_error(PassError)


@dataclass(frozen=True)
class BlockStructure:
    """How many blocks of which shape, (bs_r, bs_c), a weight stores."""

    nnzb: int
    block_shape: tuple[int, int]


@tvm.transform.module_pass(opt_level=0, name="DenseToSparse")
class DenseToSparse:
    """Replace `matmul(x, permute_dims(w))` by `sparse_dense(x, <w>.data, <w>.indices, <w>.indptr)`.

    In the function `main` the parameter `w` of shape (N, K) gives way to `<w>.data`
    (nnzb, bs_r, bs_c) in the dtype of `w`, `<w>.indices` (nnzb,) int32 and `<w>.indptr`
    (N / bs_r + 1,) int32. Weights that are not in `structures` stay dense.

    Raises
    ------
    PassError
        When applied, if a named weight is not (N, K) behind a `permute_dims`, is read by
        something besides matmuls, or is not divided by its block.
    """

    def __init__(self, structures: Mapping[str, BlockStructure]) -> None:
        self.structures = dict(structures)

    def transform_module(
        self, mod: tvm.IRModule, _context: tvm.transform.PassContext
    ) -> tvm.IRModule:
        """Return the rewritten module."""
        weights = find_dense_weights(main_function(mod), self.structures.keys())
        return replace_weights(
            mod, [_replacement(n, weights.get(n), s) for n, s in self.structures.items()]
        )


def _replacement(name: str, weight: DenseWeight | None, structure: BlockStructure) -> Replacement:
    if weight is None:
        raise PassError(f"{name} given: no matmul of the module reads a 2-D weight of that name")
    if weight.obstacle:
        raise PassError(f"{name} cannot become sparse: {weight.obstacle}")
    if not weight.transposed:
        raise PassError(f"{name} given, stored as (K, N): run simplify_fc_transpose first")
    n, k = weight.shape
    bs_r, bs_c = structure.block_shape
    if n % bs_r or k % bs_c:
        raise PassError(f"{name} of shape {n}x{k} is not divided by blocks of {bs_r}x{bs_c}")

    def param(suffix: str, shape: tuple[int, ...], dtype: str) -> relax.Var:
        return relax.Var(f"{name}.{suffix}", relax.TensorType(shape, dtype))

    triple = [
        param("data", (structure.nnzb, bs_r, bs_c), "float32"),
        param("indices", (structure.nnzb,), "int32"),
        param("indptr", (n // bs_r + 1,), "int32"),
    ]
    return Replacement(weight, triple, lambda data, _old: SparseDense()(data, *triple))
