"""Reading and rewriting the one dataflow block of an imported module."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import tvm
from tvm import relax

from tvm_sparse.ir.dims import Dim
from tvm_sparse.ir.expressions import op_name, scalar_value, tensor_shape
from tvm_sparse.ir.functions import with_params

Expr: TypeAlias = tvm.ir.Expr
Emit: TypeAlias = Callable[[Expr], Expr]
# A rule looks at one call and returns what its variable shall be bound to instead, or None.
Rule: TypeAlias = Callable[["Dataflow", relax.Call, Emit], Expr | None]


class Dataflow:
    """What each variable of a block in A-normal form is bound to.

    The arguments of its calls are variables, constants or shapes.
    """

    def __init__(self, block: relax.DataflowBlock) -> None:
        self._values: dict[Expr, Expr] = {b.var: b.value for b in block.bindings}

    def define(self, var: Expr, value: Expr) -> None:
        """Record a new or changed binding."""
        self._values[var] = value

    def resolve(self, expr: Expr) -> Expr:
        """Return the variable or constant behind aliases of it."""
        while isinstance(self._values.get(expr), relax.Var):
            expr = self._values[expr]
        return expr

    def same(self, a: Expr, b: Expr) -> bool:
        """Return whether two expressions are the same variable."""
        return bool(self.resolve(a).same_as(self.resolve(b)))

    def match(self, expr: Expr, *ops: str) -> relax.Call | None:
        """Return the call that `expr` is bound to, if it calls one of `ops`."""
        value = self._values.get(self.resolve(expr))
        return value if isinstance(value, relax.Call) and op_name(value) in ops else None

    def scaled(self, expr: Expr) -> tuple[float, Expr]:
        """Return (factor, base) with `expr` = factor * base, scalar constants stripped."""
        factor = 1.0
        while (call := self.match(expr, *_SCALINGS)) is not None:
            if op_name(call) == "relax.negative":
                factor, expr = -factor, call.args[0]
                continue
            left, right = (scalar_value(arg) for arg in call.args)
            divides = op_name(call) == "relax.divide"
            if right is not None and not (divides and right == 0):
                factor = factor / right if divides else factor * right
                expr = call.args[0]
            elif left is not None and not divides:
                factor, expr = factor * left, call.args[1]
            else:
                break
        return factor, self.resolve(expr)

    def factors(self, expr: Expr, stop: Expr | None = None) -> tuple[float, list[Expr]]:
        """Return (factor, bases) with `expr` = factor * the product of the bases.

        `stop` is a variable that is not taken apart.
        """
        if stop is not None and self.same(expr, stop):
            return 1.0, [self.resolve(expr)]
        number = scalar_value(expr)
        if number is not None:
            return number, []
        call = self.match(expr, *_SCALINGS)
        found = None if call is None else self.factors_of(call, stop)
        return found or (1.0, [self.resolve(expr)])

    def factors_of(
        self, call: relax.Call, stop: Expr | None = None
    ) -> tuple[float, list[Expr]] | None:
        """Return the same of a product, negation or quotient, None if it divides by no number."""
        if op_name(call) == "relax.multiply":
            (a, left), (b, right) = (self.factors(arg, stop) for arg in call.args)
            return a * b, left + right
        divisor = -1.0 if op_name(call) == "relax.negative" else scalar_value(call.args[1])
        if not divisor:
            return None
        factor, bases = self.factors(call.args[0], stop)
        return factor / divisor, bases

    def sum_of(self, expr: Expr) -> list[tuple[Expr, Expr]]:
        """Return the two operands of the addition that `expr` is, in both orders."""
        call = self.match(expr, "relax.add")
        if call is None:
            return []
        left, right = (self.resolve(arg) for arg in call.args)
        return [(left, right), (right, left)]


_SCALINGS = ("relax.multiply", "relax.divide", "relax.negative")


def rewrite(mod: tvm.IRModule, rule: Rule) -> tvm.IRModule:
    """Return `mod` with `rule` applied to each call of `main`, first to last.

    A variable keeps its identity when its value changes, so nothing after it needs to change.
    """
    function = mod["main"]
    (block,) = function.body.blocks
    flow = Dataflow(block)
    builder = relax.BlockBuilder()
    bindings: list[relax.Binding] = []

    def emit(expr: Expr) -> Expr:
        value = builder.normalize(expr)
        var = relax.DataflowVar(f"lr{len(bindings)}", value.ty)
        bindings.append(relax.VarBinding(var, value))
        flow.define(var, value)
        return var

    for binding in block.bindings:
        value = binding.value
        changed = rule(flow, value, emit) if isinstance(value, relax.Call) else None
        if changed is not None:
            changed = builder.normalize(changed)
        # A constant of one element but many axes may broadcast: then the rule does not apply.
        if changed is not None and _type_of(changed) == _type_of(binding.var):
            flow.define(binding.var, changed)
            binding = relax.VarBinding(binding.var, changed)
        bindings.append(binding)

    body = relax.SeqExpr([relax.DataflowBlock(bindings)], function.body.body)
    rewritten = with_params(function, function.params, body)
    return tvm.IRModule({"main": rewritten}, attrs=mod.attrs)


def _type_of(expr: Expr) -> tuple[tuple[Dim, ...], str]:
    return tensor_shape(expr), str(expr.ty.dtype)
