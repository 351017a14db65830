"""Store every dense layer's weight as (N, K), the form that TVM's `nn.dense` multiplies.

TensorFlow keeps weights as (K, N). Relax spells `nn.dense(x, w)` as `matmul(x, permute_dims(w))`,
so after this pass every dense layer reads `matmul(x, permute_dims(<w>.T))`, whatever transposes
stood there before. The name is that of Relay's `simplify_fc_transpose`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.ir.dense_layers import DenseWeight, find_dense_weights
from tvm_sparse.ir.functions import main_function
from tvm_sparse.passes.replace_weights import Replacement, replace_weights


def convert(
    mod: tvm.IRModule, params: Mapping[str, np.ndarray]
) -> tuple[tvm.IRModule, dict[str, np.ndarray]]:
    """Rewrite `matmul(x, w)` to `matmul(x, permute_dims(<w>.T))` for every 2-D weight `w`.

    A weight that something else reads too (an embedding table tied to the output layer) keeps its
    form, so that it stays once in memory. A weight that is (N, K) already keeps its name. Neither
    `mod` nor `params` is changed.

    Returns
    -------
    mod : tvm.IRModule
        The rewritten module.
    params : dict of str to numpy.ndarray
        In place of `w` of shape (K, N), `<w>.T` of shape (N, K): a read-only view, since the
        copy is made by whoever packs it. Every other weight is passed on as it is.

    Raises
    ------
    PassError
        If the module has no function `main` or a shape is not static.
    """
    weights = find_dense_weights(main_function(mod), params.keys())
    movable = {name: weight for name, weight in weights.items() if not weight.other_readers}
    new_mod = replace_weights(mod, [_replacement(weight) for weight in movable.values()])
    new_params = {}
    for name, value in params.items():
        if name in movable and not movable[name].transposed:
            transposed = value.T
            transposed.flags.writeable = False
            new_params[f"{name}.T"] = transposed
        else:
            new_params[name] = value
    return new_mod, new_params


def _replacement(weight: DenseWeight) -> Replacement:
    if weight.transposed:
        var = weight.var  # only a chain of transposes becomes a single one
    else:
        dtype = weight.var.ty.dtype
        var = relax.Var(f"{weight.var.name}.T", relax.TensorType(weight.shape, dtype))

    def multiply(data: relax.Expr, old: relax.Call) -> relax.Expr:
        return relax.op.matmul(data, relax.op.permute_dims(var), out_dtype=old.attrs.out_dtype)

    return Replacement(weight, [var], multiply)
