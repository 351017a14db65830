"""Products with matrices that a model computes itself become products with weights.

Fourier transforms are such: their matrices are constants of the graph, and as weights they run on
token tiles like those that were learnt. No layer comes of it: nothing prunes or rounds them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.ir.expressions import op_name, substitute, tensor_shape
from tvm_sparse.ir.functions import bindings, main_function, with_main, with_params

#: Shape and bytes of a matrix.
_Key = tuple[tuple[int, ...], bytes]


def convert(
    mod: tvm.IRModule, params: Mapping[str, np.ndarray]
) -> tuple[tvm.IRModule, dict[str, np.ndarray], list[str]]:
    """Rewrite products of activations with constant matrices to products with weights.

    Returns
    -------
    mod, params
        With the matrices as parameters, equal ones as one; what was given is not changed.
    names : list of str
        Of these parameters.

    Raises
    ------
    PassError
        If the module has no function `main`.
    """
    func, given = main_function(mod), dict(params)
    matrices: dict[_Key, relax.Var] = {}
    builder = relax.BlockBuilder()
    value_of: dict[relax.Var, relax.Expr] = {}
    with builder.function("main", func.params, attrs=dict(func.attrs)):
        with builder.dataflow():
            for binding in bindings(func):
                value = substitute(binding.value, lambda var: value_of.get(var, var))
                if _is_product(binding.value):
                    weight = _weight(binding.value.args[1].value.numpy(), matrices, given)
                    value = relax.op.matmul(
                        value.args[0], builder.emit(relax.op.permute_dims(weight))
                    )
                value_of[binding.var] = builder.emit(value)
            result = builder.emit_output(
                substitute(func.body.body, lambda var: value_of.get(var, var))
            )
        builder.emit_func_output(result)
    if not matrices:
        return mod, given, []
    names = [var.name for var in matrices.values()]
    body = builder.get()["main"].body
    return with_main(mod, with_params(func, [*func.params, *matrices.values()], body)), given, names


def _is_product(value: relax.Expr) -> bool:
    """Whether activations are multiplied by a constant matrix, (inputs, outputs)."""
    if op_name(value) != "relax.matmul" or not isinstance(value.args[0], relax.Var):
        return False
    matrix = value.args[1]
    return (
        isinstance(matrix, tvm.ir.GenericConst)
        and len(tensor_shape(matrix)) == 2
        and str(matrix.ty.dtype) == "float32"
    )


def _weight(
    matrix: np.ndarray, matrices: dict[_Key, relax.Var], params: dict[str, np.ndarray]
) -> relax.Var:
    """Return the parameter, (outputs, inputs), that holds a matrix; a new one has a new name."""
    key = matrix.shape, matrix.tobytes()
    if key not in matrices:
        name = f"constant_{len(matrices)}/matrix"
        params[name] = np.ascontiguousarray(matrix.T)
        matrices[key] = relax.Var(name, relax.TensorType(params[name].shape, "float32"))
    return matrices[key]
