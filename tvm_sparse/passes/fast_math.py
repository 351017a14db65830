"""Legalise transcendental functions outside our kernels to polynomials.

Left alone, LLVM makes each a scalar libm call (2 to 17 ns an element, against 0.3).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import tvm
from tvm import relax, te, topi

Elementwise = Callable[[te.Tensor], te.Tensor]


def _default(bb: relax.BlockBuilder, call: relax.Call) -> relax.Expr:
    """Legalise as TVM does: the polynomials are for float32."""
    return call.op.get_attr("FLegalize")(bb, call)


def _elementwise(compute: Elementwise) -> Callable[..., relax.Expr]:
    def legalize(bb: relax.BlockBuilder, call: relax.Call) -> relax.Expr:
        if call.args[0].ty.dtype != "float32":
            return _default(bb, call)
        return bb.call_te(compute, call.args[0], primfunc_name_hint=call.op.name.split(".")[-1])

    return legalize


def _with_nan(compute: Elementwise) -> Elementwise:
    """Return the function with NaN for NaN: TVM's bounds make a number of it."""

    def computed(x: te.Tensor) -> te.Tensor:
        value = compute(x)
        return te.compute(
            x.shape, lambda *i: tvm.tirx.Select(tvm.tirx.isnan(x(*i)), x(*i), value(*i))
        )

    return computed


_exp, _erf, _tanh = map(_with_nan, (topi.fast_exp, topi.fast_erf, topi.fast_tanh))


def _half_plus_half(x: te.Tensor, curve: te.Tensor) -> te.Tensor:
    return te.compute(x.shape, lambda *i: x(*i) * 0.5 * (1.0 + curve(*i)))


def _gelu(x: te.Tensor) -> te.Tensor:
    return _half_plus_half(x, _erf(topi.multiply(x, 1 / math.sqrt(2))))


def _gelu_tanh(x: te.Tensor) -> te.Tensor:
    scale = math.sqrt(2 / math.pi)
    inner = te.compute(x.shape, lambda *i: scale * (x(*i) + 0.044715 * x(*i) * x(*i) * x(*i)))
    return _half_plus_half(x, _tanh(inner))


def _sigmoid(x: te.Tensor) -> te.Tensor:
    return topi.multiply(topi.add(_tanh(topi.multiply(x, 0.5)), 1.0), 0.5)


def _softmax(bb: relax.BlockBuilder, call: relax.Call) -> relax.Expr:
    if call.args[0].ty.dtype != "float32":
        return _default(bb, call)

    def softmax(x: te.Tensor, axis: int) -> te.Tensor:
        powers = _exp(topi.subtract(x, topi.max(x, axis, keepdims=True)))
        return topi.divide(powers, topi.sum(powers, axis, keepdims=True))

    return bb.call_te(softmax, call.args[0], int(call.attrs.axis), primfunc_name_hint="softmax")


#: For `LegalizeOps(customize_legalize_map=...)`.
LEGALIZE_MAP: dict[str, Callable[..., relax.Expr]] = {
    "relax.exp": _elementwise(_exp),
    "relax.erf": _elementwise(_erf),
    "relax.tanh": _elementwise(_tanh),
    "relax.sigmoid": _elementwise(_sigmoid),
    "relax.nn.gelu": _elementwise(_gelu),
    "relax.nn.gelu_tanh": _elementwise(_gelu_tanh),
    "relax.nn.silu": _elementwise(lambda x: topi.multiply(x, _sigmoid(x))),
    "relax.nn.softmax": _softmax,
}


def legalize() -> tvm.transform.Pass:
    """Return `LegalizeOps` with these functions."""
    return relax.transform.LegalizeOps(LEGALIZE_MAP)
