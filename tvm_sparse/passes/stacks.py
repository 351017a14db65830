"""Find the products of the same data that are computed as one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set

from tvm import relax

from tvm_sparse.ir.expressions import op_name, static_shape
from tvm_sparse.ir.functions import Uses
from tvm_sparse.passes.dense_chains import ATTENTION, DenseChain
from tvm_sparse.passes.gated_units import GatedPair
from tvm_sparse.passes.rotations import Rotation


def find_stacks(
    chains: Iterable[DenseChain],
    uses: Uses,
    rotations: Iterable[Rotation] = (),
    gated: Iterable[GatedPair] = (),
) -> dict[relax.Var, list[DenseChain]]:
    """Group the chains that multiply the same data alike, and are read as they lie.

    Q, K and V are one product then, and so are the parts of a gated unit: their readers take
    operands from any features of a tensor. The groups come by the results of the chains in them.
    """
    rotated = {rotation.data: set(rotation.members) for rotation in rotations}
    parts = {var for pair in gated for var in (pair.gate, pair.up)}
    groups: dict[tuple[object, ...], list[DenseChain]] = {}
    for chain in chains:
        if (
            chain.residual is None
            and chain.activation == "none"
            and (chain.result in parts or _feeds_heads(chain.result, uses, rotated))
        ):
            block = static_shape(chain.weight[0])[1:] if chain.is_sparse else None
            key = (chain.data, chain.is_sparse, block, chain.bias is None)
            groups.setdefault(key, []).append(chain)
    return {chain.result: group for group in groups.values() for chain in group if len(group) > 1}


def _feeds_heads(var: relax.Var, uses: Uses, rotated: Mapping[relax.Var, Set[relax.Var]]) -> bool:
    """Return whether a value is split into heads that are attended with, normalised or rotated."""
    reshape = uses.only_reader(var)
    if reshape is None or op_name(uses.value[reshape]) != "relax.reshape":
        return False
    if reshape in rotated:
        return uses.readers(reshape) <= rotated[reshape]
    reader = uses.only_reader(reshape)
    if reader is None:
        return False
    return op_name(uses.value[reader]) in ATTENTION | {"relax.nn.rms_norm"}
