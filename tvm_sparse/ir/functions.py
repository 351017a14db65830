"""Reading Relax functions in A-normal form, and putting them into modules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import asdict

import tvm
from tvm import relax

from tvm_sparse.errors import PassError
from tvm_sparse.model.layer import Place

_PLACES = "places"
#: Attribute of open functions, see `nominal_shape`.
NOMINAL = "nominal"


def main_function(mod: tvm.IRModule) -> relax.Function:
    """Return the one Relax function of an imported module.

    Raises
    ------
    PassError
        If there is no Relax function `main`.
    """
    for name, func in mod.functions_items():
        if name.name_hint == "main" and isinstance(func, relax.Function):
            return func
    names = ", ".join(name.name_hint for name in mod.get_global_vars()) or "nothing"
    raise PassError(f"the module holds {names}: a Relax function 'main' is needed")


def with_main(mod: tvm.IRModule, func: relax.Function) -> tvm.IRModule:
    """Return a module with another `main`; `mod` itself stays as it is."""
    functions = dict(mod.functions_items())
    functions[mod.get_global_var("main")] = func
    return tvm.IRModule(functions, attrs=mod.attrs)


def with_params(
    func: relax.Function, params: Sequence[relax.Var], body: relax.Expr
) -> relax.Function:
    """Return a function with other parameters and another body of the same type."""
    return relax.Function(params, body, func.ret_ty, func.is_pure, func.attrs)


def with_read_params(func: relax.Function, weights: Container[str]) -> relax.Function:
    """Return a function without the parameters named in `weights` that it does not read."""
    read = set(relax.analysis.free_vars(func.body))
    kept = [var for var in func.params if var in read or var.name not in weights]
    return with_params(func, kept, func.body)


def parameters(func: relax.Function) -> tuple[list[relax.Var], list[relax.Var]]:
    """Return the inputs and the weights that an imported function takes."""
    count = int(func.attrs["num_input"])
    return list(func.params[:count]), list(func.params[count:])


def micro_batches(func: relax.Function) -> int:
    """Return how many times an imported function runs for a batch, see `split_batch`."""
    return int(func.attrs["micro_batches"]) if "micro_batches" in (func.attrs or {}) else 1


def nominal_shape(func: relax.Function) -> tuple[int, int]:
    """Return the batch and length that figures of an open function are for, 1 and 1 of others."""
    batch, seq_len = (func.attrs or {}).get(NOMINAL, (1, 1))
    return int(batch), int(seq_len)


def with_places(func: relax.Function, places: Mapping[str, Place]) -> relax.Function:
    """Return a function that says of its weights, by name, what they are for."""
    return func.with_attr(_PLACES, {name: asdict(place) for name, place in places.items()})


def places_of(func: relax.Function) -> dict[str, Place]:
    """Return what a function says of its weights, by name: what the importer knew."""
    return {name: Place(**place) for name, place in (func.attrs or {}).get(_PLACES, {}).items()}


def bindings(func: relax.Function) -> Iterator[relax.Binding]:
    """Iterate over all bindings of a function in A-normal form."""
    for block in func.body.blocks:
        yield from block.bindings


def results(func: relax.Function) -> list[relax.Expr]:
    """Return the fields of the tuple that a function returns, by itself or as a variable."""
    value_of = {binding.var: binding.value for binding in bindings(func)}
    expr = func.body.body
    while isinstance(expr, relax.Var):
        expr = value_of[expr]
    return list(expr.fields)


def returning(func: relax.Function, values: Sequence[relax.Expr]) -> relax.Function:
    """Return a function that computes what `func` does and returns the tuple of `values`.

    They are expressions over its variables and parameters.
    """
    result = relax.BlockBuilder().normalize(relax.Tuple(list(values)))
    var = relax.Var("results", result.ty)
    block = relax.DataflowBlock([*bindings(func), relax.VarBinding(var, result)])
    body = relax.SeqExpr([block], var)
    return relax.Function(func.params, body, result.ty, func.is_pure, func.attrs)


class Uses:
    """Who reads each variable of a function in A-normal form."""

    def __init__(self, func: relax.Function) -> None:
        self.value = {binding.var: binding.value for binding in bindings(func)}
        self._count: Counter[relax.Var] = Counter()
        self._readers: dict[relax.Var, list[relax.Var]] = {}
        for binding in bindings(func):
            value = binding.value
            parts = value.args if isinstance(value, relax.Call) else [value]
            for var in (var for part in parts for var in relax.analysis.free_vars(part)):
                self._count[var] += 1
                self._readers.setdefault(var, []).append(binding.var)
        for var in relax.analysis.free_vars(func.body.body):
            self._count[var] += 1

    def readers(self, var: relax.Var) -> set[relax.Var]:
        """Return the variables computed from `var`."""
        return set(self._readers.get(var, ()))

    def only_reader(self, var: relax.Var) -> relax.Var | None:
        """Return the one variable computed from `var`, or None if there are several or none."""
        readers = self._readers.get(var, [])
        return readers[0] if len(readers) == 1 and self._count[var] == 1 else None
