"""Count the floating-point operations of a function's products, whatever they multiply."""

from __future__ import annotations

from math import prod

from tvm import relax
from tvm.ir import IRModule

from tvm_sparse.ir.expressions import op_name, static_shape
from tvm_sparse.ir.functions import bindings, main_function, micro_batches


def product_flops(mod: IRModule) -> int:
    """Return the operations of all products of one inference, two a multiplication.

    Weights count and activations alike, matrices, stacks of them and convolutions. What is left
    out grows with the values and not with products of them.

    Parameters
    ----------
    mod : IRModule
        With the function `main`, as imported.

    Raises
    ------
    PassError
        If the module has no function `main` or a shape is not static.
    """
    main = main_function(mod)
    return micro_batches(main) * sum(_flops(binding.value) for binding in bindings(main))


def _flops(value: relax.Expr) -> int:
    name = op_name(value).removeprefix("relax.")
    if name == "matmul":
        return 2 * prod(static_shape(value)) * static_shape(value.args[0])[-1]
    if name.startswith("nn.conv"):  # the kernel is (outputs, inputs of a group, ...)
        return 2 * prod(static_shape(value)) * prod(static_shape(value.args[1])[1:])
    if name.startswith("nn.attention"):  # (batch, tokens, heads, width of a head)
        queries, keys, values = (static_shape(arg) for arg in value.args[:3])
        return 2 * prod(queries[:3]) * keys[1] * (keys[3] + values[3])
    return 0
