"""Count the floating-point operations of a function's products, whatever they multiply."""

from __future__ import annotations

from tvm import relax
from tvm.ir import IRModule

from tvm_sparse.ir.dims import Dim, evaluate, product
from tvm_sparse.ir.expressions import op_name, tensor_shape
from tvm_sparse.ir.functions import bindings, main_function, micro_batches, nominal_shape


def product_flops(mod: IRModule) -> int:
    """Return the operations of all products of one inference, two a multiplication.

    Weights count and activations alike, matrices, stacks of them and convolutions. What is left
    out grows with the values and not with products of them.

    Parameters
    ----------
    mod : IRModule
        With the function `main`, as imported; of an open one the nominal inference counts.

    Raises
    ------
    PassError
        If the module has no function `main` or a shape is unknown.
    """
    main = main_function(mod)
    shape = nominal_shape(main)
    flops = sum(evaluate(_flops(binding.value), *shape) for binding in bindings(main))
    return micro_batches(main) * flops


def _flops(value: relax.Expr) -> Dim:
    name = op_name(value).removeprefix("relax.")
    if name == "matmul":
        return 2 * product(tensor_shape(value)) * tensor_shape(value.args[0])[-1]
    if name.startswith("nn.conv"):  # an output takes all of a kernel but what makes the others
        kernel = zip(str(value.attrs.kernel_layout), tensor_shape(value.args[1]), strict=True)
        window = product([extent for axis, extent in kernel if axis != "O"])
        return 2 * product(tensor_shape(value)) * window
    if name.startswith("nn.attention"):  # (batch, tokens, heads, width of a head)
        queries, keys, values = (tensor_shape(arg) for arg in value.args[:3])
        return 2 * product(queries[:3]) * keys[1] * (keys[3] + values[3])
    return 0
