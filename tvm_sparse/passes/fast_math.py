"""Legalise transcendental functions outside our kernels to polynomials.

Left alone, LLVM makes each a scalar libm call (2 to 17 ns an element, against 0.3).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import tvm
from tvm import relax, te, topi


def _default(bb: relax.BlockBuilder, call: relax.Call) -> relax.Expr:
    """Legalise as TVM does: the polynomials are for float32."""
    return call.op.get_attr("FLegalize")(bb, call)


def _elementwise(compute: Callable[[te.Tensor], te.Tensor]) -> Callable[..., relax.Expr]:
    def legalize(bb: relax.BlockBuilder, call: relax.Call) -> relax.Expr:
        if call.args[0].ty.dtype != "float32":
            return _default(bb, call)
        return bb.call_te(compute, call.args[0], primfunc_name_hint=call.op.name.split(".")[-1])

    return legalize


def _half_plus_half(x: te.Tensor, curve: te.Tensor) -> te.Tensor:
    return te.compute(x.shape, lambda *i: x(*i) * 0.5 * (1.0 + curve(*i)))


def _gelu(x: te.Tensor) -> te.Tensor:
    return _half_plus_half(x, topi.fast_erf(topi.multiply(x, 1 / math.sqrt(2))))


def _gelu_tanh(x: te.Tensor) -> te.Tensor:
    scale = math.sqrt(2 / math.pi)
    inner = te.compute(x.shape, lambda *i: scale * (x(*i) + 0.044715 * x(*i) * x(*i) * x(*i)))
    return _half_plus_half(x, topi.fast_tanh(inner))


def _sigmoid(x: te.Tensor) -> te.Tensor:
    return topi.multiply(topi.add(topi.fast_tanh(topi.multiply(x, 0.5)), 1.0), 0.5)


def _softmax(bb: relax.BlockBuilder, call: relax.Call) -> relax.Expr:
    if call.args[0].ty.dtype != "float32":
        return _default(bb, call)
    axis = int(call.attrs.axis)
    return bb.call_te(topi.nn.fast_softmax, call.args[0], axis, primfunc_name_hint="softmax")


#: For `LegalizeOps(customize_legalize_map=...)`.
LEGALIZE_MAP: dict[str, Callable[..., relax.Expr]] = {
    "relax.exp": _elementwise(topi.fast_exp),
    "relax.erf": _elementwise(topi.fast_erf),
    "relax.tanh": _elementwise(topi.fast_tanh),
    "relax.sigmoid": _elementwise(_sigmoid),
    "relax.nn.gelu": _elementwise(_gelu),
    "relax.nn.gelu_tanh": _elementwise(_gelu_tanh),
    "relax.nn.silu": _elementwise(lambda x: topi.multiply(x, _sigmoid(x))),
    "relax.nn.softmax": _softmax,
}


def legalize() -> tvm.transform.Pass:
    """Return `LegalizeOps` with these functions."""
    return relax.transform.LegalizeOps(LEGALIZE_MAP)
