"""Find gated units, activation(gate) * up, whose two parts one product can compute."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tvm import relax

from tvm_sparse.ir.expressions import op_name, tensor_shape
from tvm_sparse.ir.functions import Uses, bindings
from tvm_sparse.passes.dense_chains import EPILOGUE_ACTIVATIONS, DenseChain


@dataclass(frozen=True)
class GatedPair:
    """activation(gate) * up; `members` is the activation and the product of both."""

    gate: relax.Var
    up: relax.Var
    activation: str
    members: tuple[relax.Var, ...]


def find_gated_units(
    func: relax.Function, uses: Uses, chains: dict[relax.Var, DenseChain]
) -> tuple[dict[relax.Var, GatedPair], dict[relax.Var, DenseChain]]:
    """Find gated units by their results, of slices or of two products of the same data.

    Returns
    -------
    gated : dict of Var to GatedPair
        What was found.
    chains : dict of Var to DenseChain
        The chains that were given, without the activations that belong to gated units.
    """
    gated, left = {}, dict(chains)
    for binding in bindings(func):
        pair = _pair(binding, uses)
        if pair is None:
            continue
        chain, activated = left.get(pair.up), pair.members[0]
        if _is_cut(pair.gate, uses) and _is_cut(pair.up, uses):
            gated[binding.var] = pair
        elif chain is not None and _is_twin(left.get(activated), chain, pair):
            own = left[activated]
            plain = replace(own, activation="none", members=own.members[:-1])
            left = {(v if v is not activated else pair.gate): c for v, c in left.items()}
            left[pair.gate] = plain
            gated[binding.var] = pair
    return gated, left


def _pair(binding: relax.Binding, uses: Uses) -> GatedPair | None:
    if op_name(binding.value) != "relax.multiply":
        return None
    for activated, up in (binding.value.args, binding.value.args[::-1]):
        value = uses.value.get(activated) if isinstance(activated, relax.Var) else None
        name = EPILOGUE_ACTIVATIONS.get(op_name(value))
        only = uses.only_reader(activated) if name else None
        if (
            name
            and value is not None
            and only is not None
            and only.same_as(binding.var)
            and isinstance(up, relax.Var)
            and tensor_shape(up) == tensor_shape(activated)
        ):
            return GatedPair(value.args[0], up, name, (activated, binding.var))
    return None


def _is_cut(var: relax.Var, uses: Uses) -> bool:
    return op_name(uses.value.get(var)) == "relax.strided_slice"


def _is_twin(first: DenseChain | None, second: DenseChain, pair: GatedPair) -> bool:
    """Return whether two chains are alike but for the activation that ends the first."""
    return (
        first is not None
        and first.activation == pair.activation
        and second.activation == "none"
        and first.residual is None is second.residual
        and first.data.same_as(second.data)
        and first.is_sparse == second.is_sparse
        and (first.bias is None) == (second.bias is None)
    )
