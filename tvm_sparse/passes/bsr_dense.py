"""Decide which dense layers run sparse, pack their weights and rewrite the graph.

The name and the meaning of the arguments are those of TVM's `data_dep_optimization.bsr_dense`, with
two differences: the threshold is on the sparsity of blocks, and nothing the caller owns is changed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.ir.dense_layers import dense_layers, find_dense_weights
from tvm_sparse.ir.dims import BATCH, SEQ_LEN, product
from tvm_sparse.ir.expressions import MATMUL, tensor_shape
from tvm_sparse.ir.functions import bindings, main_function
from tvm_sparse.model.decision import Decision
from tvm_sparse.model.layer import Layer
from tvm_sparse.passes.dense_to_sparse import BlockStructure, DenseToSparse
from tvm_sparse.sparsity.bsr import BSR, to_bsr
from tvm_sparse.sparsity.decision import LayerChoice, decide


def convert(
    mod: tvm.IRModule,
    params: Mapping[str, np.ndarray],
    block_shape: tuple[int, int],
    sparsity_threshold: float,
    include: Iterable[str] = (),
    exclude: Iterable[str] = (),
    choices: Mapping[str, LayerChoice] | None = None,
) -> tuple[tvm.IRModule, dict[str, np.ndarray], list[Decision]]:
    """Turn the dense layers whose blocks are sparse enough into `sparse_dense`.

    Takes what `simplify_fc_transpose` left, and changes neither `mod` nor `params`; all else is as
    `sparsity.decision.decide` takes it.

    Returns
    -------
    mod : tvm.IRModule
        With `tvm_sparse.sparse_dense` in place of the matmuls of the converted layers.
    params : dict of str to numpy.ndarray
        In place of each converted `w`: `<w>.data` (nnzb, bs_r, bs_c) float32, `<w>.indices`
        (nnzb,) int32, `<w>.indptr` (N / bs_r + 1,) int32.
    decisions : list of Decision
        One for every dense layer, in the order of the module.

    Raises
    ------
    PassError
        If the module has no function `main` or a shape is not static.
    SparsityError
        From `decide`.
    """
    rows = _of_sequences(mod, params.keys())
    layers = [_settled(layer, rows) for layer in dense_layers(mod, params.keys())]
    decisions = decide(layers, params, block_shape, sparsity_threshold, include, exclude, choices)
    packed = {
        layer.name: to_bsr(layer.load(params), block_shape)
        for layer, decision in zip(layers, decisions, strict=True)
        if decision.action == "sparse"
    }
    structures = {name: BlockStructure(bsr.nnzb, bsr.block_shape) for name, bsr in packed.items()}
    # `module_pass` makes the objects of a class callable, which mypy cannot tell.
    sparse = DenseToSparse(structures)(mod)  # type: ignore[operator]
    return sparse, _replace_params(params, packed), decisions


def _of_sequences(mod: tvm.IRModule, names: Collection[str]) -> set[str]:
    """Return the weights that an open model multiplies with rows that are not its tokens.

    Sparse kernels pass over tiles of tokens; there are none of, say, one row a sequence.
    """
    func = main_function(mod)
    owners = {
        var: name
        for name, weight in find_dense_weights(func, names).items()
        for var in weight.read_as
    }
    found = set()
    for binding in bindings(func):
        value = binding.value
        if isinstance(value, relax.Call) and value.op == MATMUL and value.args[1] in owners:
            *lead, _ = tensor_shape(value.args[0])
            is_open = not all(isinstance(extent, int) for extent in lead)
            if is_open and product(lead) != product((BATCH, SEQ_LEN)):
                found.add(owners[value.args[1]])
    return found


def _settled(layer: Layer, of_sequences: Collection[str]) -> Layer:
    """Refuse weights that are not (N, K), and those whose rows are no tokens."""
    if layer.obstacle:
        return layer
    if layer.name in of_sequences:
        return replace(layer, obstacle="a build of any length multiplies it with few rows")
    if layer.stored == "NK":
        return layer
    return replace(layer, obstacle="stored as (K, N): run simplify_fc_transpose first")


def _replace_params(
    params: Mapping[str, np.ndarray], packed: Mapping[str, BSR]
) -> dict[str, np.ndarray]:
    new_params = {}
    for name, value in params.items():
        if name in packed:
            for array in ("data", "indices", "indptr"):
                new_params[f"{name}.{array}"] = getattr(packed[name], array)
        else:
            new_params[name] = value
    return new_params
