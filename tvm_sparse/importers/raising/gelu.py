"""GELU, written out with erf or tanh, becomes one op."""

from __future__ import annotations

import math

from tvm import relax

from tvm_sparse.importers.raising.dataflow import Dataflow, Emit, Expr
from tvm_sparse.ir.expressions import op_name, scalar_value

# Frameworks write the constants with 6 to 17 digits.
_TOLERANCE = 1e-4
_CUBIC = 0.044715


def raise_gelu(flow: Dataflow, call: relax.Call, emit: Emit) -> Expr | None:
    """Return `nn.gelu(x)` or `nn.gelu_tanh(x)` if `call` computes it.

    x / 2 * (1 + erf(x / sqrt(2))), also as erfc(-x / sqrt(2)) = 1 - erf(-x / sqrt(2)), and
    x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))), factors in any order.
    """
    if op_name(call) not in ("relax.multiply", "relax.divide"):
        return None
    _, gates = flow.factors_of(call) or (1.0, [])
    for gate in gates:
        for matcher, gelu in ((_erf_gate, relax.op.nn.gelu), (_tanh_gate, relax.op.nn.gelu_tanh)):
            x = matcher(flow, gate)
            if x is not None and _is_half_of(flow, call, x, gate):
                return gelu(x)
    return None


def _is_half_of(flow: Dataflow, call: relax.Call, x: Expr, gate: Expr) -> bool:
    """Return whether `call` is 0.5 * x * gate."""
    factor, bases = flow.factors_of(call, stop=x) or (1.0, [])
    if not _close(factor, 0.5) or len(bases) != 2:
        return False
    return any(flow.same(a, x) and flow.same(b, gate) for a, b in (bases, reversed(bases)))


def _erf_gate(flow: Dataflow, gate: Expr) -> Expr | None:
    """Return x if `gate` is 1 + erf(x / sqrt(2)), or 1 - erf(-x / sqrt(2))."""
    candidates = [(1, one, term) for one, term in flow.sum_of(gate)]
    difference = flow.match(gate, "relax.subtract")
    if difference is not None:
        candidates.append((-1, *difference.args))
    for sign, one, term in candidates:
        erf = flow.match(term, "relax.erf")
        if erf is not None and scalar_value(one) == 1:
            factor, x = flow.scaled(erf.args[0])
            return x if _close(sign * factor, math.sqrt(0.5)) else None
    return None


def _tanh_gate(flow: Dataflow, gate: Expr) -> Expr | None:
    """Return x if `gate` is 1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))."""
    for one, term in flow.sum_of(gate):
        tanh = flow.match(term, "relax.tanh")
        if tanh is None or scalar_value(one) != 1:
            continue
        factor, bases = flow.factors(tanh.args[0])
        if not _close(factor, math.sqrt(2 / math.pi)):
            continue
        if len(bases) == 1:
            for x, cube in flow.sum_of(bases[0]):
                if _is_power(flow, cube, x, 3):
                    return x
        if len(bases) == 2:  # x * (1 + 0.044715 x^2)
            for x, gain in (bases, bases[::-1]):
                for number, square in flow.sum_of(gain):
                    if scalar_value(number) == 1 and _is_power(flow, square, x, 2):
                        return x
    return None


def _is_power(flow: Dataflow, expr: Expr, x: Expr, exponent: int) -> bool:
    """Return whether `expr` is 0.044715 * x ** exponent."""
    factor, bases = flow.factors(expr, stop=x)
    degree = 0
    for base in bases:
        power = flow.match(base, "relax.power")
        square = flow.match(base, "relax.square")
        if flow.same(base, x):
            degree += 1
        elif power is not None and flow.same(power.args[0], x):
            degree += int(scalar_value(power.args[1]) or 0)
        elif square is not None and flow.same(square.args[0], x):
            degree += 2
        else:
            return False
    return _close(factor, _CUBIC) and degree == exponent


def _close(value: float, wanted: float) -> bool:
    return math.isclose(value, wanted, rel_tol=_TOLERANCE)
