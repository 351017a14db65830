"""Vectorised exp2, tanh, GELU and the activations made of them.

LLVM turns `exp2`, `erf` and `tanh` of a vector into scalar libm calls (2 to 17 ns an element).
These are polynomials and their quotients on whole registers instead (0.1 to 0.3 ns), accurate to a
few float32 ulp, GELU to 2e-6.

Sources: the rational form of tanh uses the minimax coefficients published with Eigen's generic
packet math; the others are our own fits.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from tvm.script.ir_builder import tirx as T

from tvm_sparse.kernels.vector import Bind, Expr

#: 2**r for -1/2 <= r <= 1/2, highest power first: our own minimax fit, relative error 9e-8.
_EXP2_COEFFICIENTS = (
    1.326472731e-3,
    9.671512991e-3,
    5.550733585e-2,
    2.402224243e-1,
    6.931470037e-1,
    1.0,
)
#: What is less counts as this much. A softmax's weight of a hidden key is nothing beside the others
#: and, times a value, still a normal number: a multiply-add of subnormal ones takes some hundred
#: cycles on Intel's cores, and hidden keys in front of others, as in windows, make many of them.
EXP2_END = -100.0
#: Added to a number of less than 2**22, it rounds it to an integer in the lowest bits.
_ROUNDING = 1.5 * 2**23

#: The normal distribution's Phi(x) - 1/2 as x P(x**2) / Q(x**2) for |x| up to the end, highest
#: power first: minimax in what GELU is off by (x times as much), 1e-6 before rounding.
_GELU_NUMERATOR = (63585.49715445, 390951.3641402, 6919741.12914158)
_GELU_DENOMINATOR = (1.0, -156.864575, 17330.3946, 369464.665, 3872269.37, 17344758.4)
_GELU_END = 5.02

_TANH_NUMERATOR = (
    -2.76076847742355e-16,
    2.00018790482477e-13,
    -8.60467152213735e-11,
    5.12229709037114e-08,
    1.48572235717979e-05,
    6.37261928875436e-04,
    4.89352455891786e-03,
)
_TANH_DENOMINATOR = (
    1.19825839466702e-06,
    1.18534705686654e-04,
    2.26843463243900e-03,
    4.89352518554385e-03,
)
_TANH_END = 7.90531110763549805


def _horner(bind: Bind, x: Expr, coefficients: tuple[float, ...]) -> Expr:
    """Evaluate a polynomial, highest power first."""
    value = bind.const(coefficients[0])
    for coefficient in coefficients[1:]:
        value = value * x + bind.const(coefficient)
    return value


def _at_least(bind: Bind, low: float, x: Expr) -> Expr:
    """Return the larger of two numbers, and NaN for NaN.

    The order matters: of two that do not compare, TVM's maximum and minimum, and the instructions
    they become, return the second.
    """
    return bind(T.max(bind.const(low), x))


def _at_most(bind: Bind, high: float, x: Expr) -> Expr:
    """Return the smaller of two numbers, and NaN for NaN."""
    return bind(T.min(bind.const(high), x))


def exp2(bind: Bind, x: Expr) -> Expr:
    """Return 2**x for x <= 0, and 2**`EXP2_END` below `EXP2_END`."""
    x = _at_least(bind, EXP2_END, x)
    rounded = bind(x + bind.const(_ROUNDING))
    r = bind(x - (rounded - bind.const(_ROUNDING)))
    mantissa = _horner(bind, r, _EXP2_COEFFICIENTS)
    # The integer, shifted to where the exponent is, and nothing of the constant: that is even.
    exponent = T.shift_left(
        T.reinterpret(f"int32x{bind.lanes}", rounded), T.broadcast(T.int32(23), bind.lanes)
    )
    bits = T.reinterpret(f"int32x{bind.lanes}", mantissa) + exponent
    return bind(T.reinterpret(f"float32x{bind.lanes}", bits))


def tanh(bind: Bind, x: Expr) -> Expr:
    """Return the hyperbolic tangent of x (absolute error below 5e-7), exactly 1 far out.

    What the rational form gives at its end, 1 or a few ulp less, depends on where LLVM contracts
    to FMA; GELU and SiLU would multiply those ulp by x.
    """
    x = bind(x)
    inside = _at_least(bind, -_TANH_END, _at_most(bind, _TANH_END, x))
    x2 = bind(inside * inside)
    curve = inside * _horner(bind, x2, _TANH_NUMERATOR) / _horner(bind, x2, _TANH_DENOMINATOR)
    low = T.Select(x <= bind.const(-_TANH_END), bind.const(-1.0), curve)
    return bind(T.Select(x >= bind.const(_TANH_END), bind.const(1.0), low))


def _gelu(bind: Bind, x: Expr) -> Expr:
    """Return x Phi(x) (absolute error below 2e-6).

    Multiply-adds and the division decide what it takes: there are as few as that error allows.
    """
    # What Phi is off by far below, an ulp of 1/2, is not multiplied by more than the end.
    x = _at_least(bind, -_GELU_END, x)
    inside = _at_most(bind, _GELU_END, x)
    x2 = bind(inside * inside)
    numerator = inside * _horner(bind, x2, _GELU_NUMERATOR)
    return x * (numerator / _horner(bind, x2, _GELU_DENOMINATOR) + bind.const(0.5))


def _gelu_tanh(bind: Bind, x: Expr) -> Expr:
    inner = (
        x * bind.const(math.sqrt(2 / math.pi)) * (x * x * bind.const(0.044715) + bind.const(1.0))
    )
    half = bind(x * bind.const(0.5))
    return half + half * tanh(bind, inner)


def _sigmoid(bind: Bind, x: Expr) -> Expr:
    return bind.const(0.5) + bind.const(0.5) * tanh(bind, x * bind.const(0.5))


#: Epilogue activations by the name used in op attributes.
ACTIVATIONS: dict[str, Callable[[Bind, Expr], Expr]] = {
    "none": lambda bind, x: x,
    "relu": lambda bind, x: _at_least(bind, 0.0, x),
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "tanh": tanh,
    "sigmoid": _sigmoid,
    "silu": lambda bind, x: x * _sigmoid(bind, x),
}
