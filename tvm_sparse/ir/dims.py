"""Extents of tensors: numbers, or expressions in the batch and length of a model of any shape.

Relax compares symbolic extents by identity. Here each is brought into one form, a polynomial, of
which there is one object: extents that are equal are the same object, so that shapes compare, and
lie in sets, as those of numbers do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from math import prod
from typing import Any, TypeAlias

import tvm
from tvm import relax, tirx

from tvm_sparse.errors import PassError
from tvm_sparse.model.facts import Axis, TensorSpec

#: Of every open model in this process; `with_own_dims` gives them to one that was read from a file.
BATCH = tirx.Var("batch", "int64")
SEQ_LEN = tirx.Var("seq_len", "int64")
#: Token tiles of a run, see `formats.token_layout`.
TILES = tirx.Var("tiles", "int64")

#: A number where it is known, else an expression in the variables above.
Dim: TypeAlias = "int | tirx.PrimExpr"

#: Factors, by name and in order, to the number of times the product of them is taken.
_Polynomial: TypeAlias = "Counter[tuple[str, ...]]"

_VARIABLES = {var.name: var for var in (BATCH, SEQ_LEN, TILES)}
#: What a factor is called, and the expression: a variable, or what is no polynomial.
_factors: dict[str, Any] = dict(_VARIABLES)
_canonical: dict[tuple[Any, ...], Any] = {}
_analyzer = tvm.sym.Analyzer()


def dim(value: Any) -> Dim:
    """Return an extent in its one form: an integer if it is one."""
    if isinstance(value, int):
        return value
    # Most extents are numbers, most others a variable: read at every turn, and nothing to compute.
    if isinstance(value, tirx.IntImm):
        return int(value)
    if isinstance(value, tirx.Var) and value.name in _VARIABLES:
        return _VARIABLES[value.name]
    return _object(_polynomial(value))


def product(dims: Iterable[Any]) -> Dim:
    """Return the product of extents."""
    return dim(prod(dims, start=1))


def divide(value: Any, by: Any) -> Dim:
    """Return the quotient of two extents, of which `by` is a number or a product of variables.

    Raises
    ------
    ValueError
        If it is no polynomial.
    """
    ((divisors, factor),) = _polynomial(by).items() or [((), 0)]
    quotient: _Polynomial = Counter()
    for factors, count in _polynomial(value).items():
        rest = Counter(factors) - Counter(divisors)
        if not factor or count % factor or rest.total() + len(divisors) != len(factors):
            raise ValueError(f"{value} is not divisible by {by}")
        quotient[tuple(sorted(rest.elements()))] += count // factor
    return _object(quotient)


def evaluate(value: Any, batch: int, seq_len: int) -> int:
    """Return what an extent is for a batch of so many sequences of so many tokens."""
    if isinstance(value, int):
        return value
    analyzer = tvm.sym.Analyzer()
    analyzer.bind(BATCH, tirx.IntImm("int64", batch))
    analyzer.bind(SEQ_LEN, tirx.IntImm("int64", seq_len))
    return int(analyzer.simplify(value))


def dims_of(spec: TensorSpec) -> tuple[Dim, ...]:
    """Return the extents of an input or output, the variables where the run decides."""
    named = zip(spec.axes, spec.shape, strict=True) if spec.axes else ()
    return tuple(_VARIABLES.get(axis, extent) for axis, extent in named) or spec.shape


def axes_of(shape: Iterable[Dim]) -> tuple[Axis, ...]:
    """Return what decides about each extent, as `TensorSpec.axes` says it.

    Raises
    ------
    ValueError
        Something else than the batch or the length alone does.
    """
    axes: list[Axis] = []
    for extent in shape:
        axis: Axis = ""
        if not isinstance(extent, int):
            if extent not in (BATCH, SEQ_LEN):
                raise ValueError(f"an extent of {extent} given")
            axis = "batch" if extent == BATCH else "seq_len"
        axes.append(axis)
    return tuple(axes)


def with_own_dims(func: relax.Function) -> relax.Function:
    """Return a function whose `batch` and `seq_len` are the variables of this module."""
    own = {
        var: _VARIABLES[var.name]
        for var in relax.analysis.free_symbolic_vars(func.body)
        if var.name in _VARIABLES and not var.same_as(_VARIABLES[var.name])
    }
    return func.bind_symbolic_vars(own) if own else func


def _polynomial(value: Any) -> _Polynomial:
    if isinstance(value, int | tirx.IntImm):
        return Counter({(): int(value)} if int(value) else {})
    if isinstance(value, tirx.Add | tirx.Sub):
        result = Counter(_polynomial(value.a))
        sign = 1 if isinstance(value, tirx.Add) else -1
        for factors, count in _polynomial(value.b).items():
            result[factors] += sign * count
        return Counter({factors: count for factors, count in result.items() if count})
    if isinstance(value, tirx.Mul):
        result = Counter()
        for left, count in _polynomial(value.a).items():
            for right, times in _polynomial(value.b).items():
                result[tuple(sorted(left + right))] += count * times
        return Counter({factors: count for factors, count in result.items() if count})
    if isinstance(value, tirx.Cast):
        return _polynomial(value.value)
    if isinstance(value, tirx.Var):
        if value.name not in _VARIABLES:
            raise PassError(
                f"extent {value} given: all dimensions must be static, or follow from the batch "
                "and the length"
            )
        return Counter({(value.name,): 1})
    simple = _analyzer.simplify(value)
    if str(simple) != str(value):
        return _polynomial(simple)
    name = str(simple)
    _factors.setdefault(name, simple)
    return Counter({(name,): 1})


def _object(polynomial: _Polynomial) -> Dim:
    terms = tuple(sorted(polynomial.items()))
    if not terms or (len(terms) == 1 and terms[0][0] == ()):
        return terms[0][1] if terms else 0
    if terms not in _canonical:
        total: Any = None
        for factors, count in terms:
            term: Any = None
            for name in factors:
                term = _factors[name] if term is None else term * _factors[name]
            number = tirx.IntImm("int64", count)
            term = number if term is None else term if count == 1 else term * number
            total = term if total is None else total + term
        _canonical[terms] = total
    return _canonical[terms]
