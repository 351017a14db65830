"""Pack the weights of dense chains into what the kernels read, each set of weights once."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence

import numpy as np
from tvm import relax

from tvm_sparse.kernels.packed_bsr import SparseFormat, pack_bsr
from tvm_sparse.kernels.packed_dense import pack_dense
from tvm_sparse.passes.dense_chains import DenseChain

#: Attribute of a tiled function: by base name of a parameter, the weights that are stacked in it.
STACKS = "stacks"
#: Of the arrays of a `PackedBSR`, in their order.
_ARRAYS = ("data", "offsets", "groups", "rows", "chunks")
_SUFFIXES = re.compile(rf"(\.(T|stacked|packed|tile\d+|indices|indptr|{'|'.join(_ARRAYS)}))+$")


def base_name(param: str) -> str:
    """Return a parameter's name without the suffixes that passes append."""
    return _SUFFIXES.sub("", param)


def stacked_in(func: relax.Function, param: str) -> tuple[str, ...]:
    """Return the canonical names of the weights that a parameter of a tiled function holds."""
    stem = base_name(param)
    return tuple(str(name) for name in func.attrs.get(STACKS, {}).get(stem, (stem,)))


def join_names(names: Sequence[str]) -> str:
    """Name a stack of weights: `layer/{query,key,value}/kernel`."""
    if len(names) == 1:
        return names[0]
    # Of the directories: equal names keep their last part.
    prefix = os.path.commonpath([os.path.dirname(name) for name in names])
    owner = f"{prefix}/" if prefix else ""
    endings = [name.removeprefix(owner).split("/") for name in names]
    tails = {tuple(ending[1:]) for ending in endings}
    if len(tails) != 1:
        return f"{owner}{{{','.join('/'.join(ending) for ending in endings)}}}"
    stem = f"{owner}{{{','.join(ending[0] for ending in endings)}}}"
    return "/".join((stem, *tails.pop()))


class PackedWeights:
    """The parameters of the tiled function, made as they are asked for.

    Parameters
    ----------
    params : mapping of str to ndarray
        Weights by the names the function has now; not changed.

    Attributes
    ----------
    vars, values : dict of str to Var, of str to ndarray
        The parameters, and what they hold.
    stacks : dict of str to list of str
        See `STACKS`.
    """

    def __init__(self, params: Mapping[str, np.ndarray]) -> None:
        self._source = params
        self.vars: dict[str, relax.Var] = {}
        self.values: dict[str, np.ndarray] = {}
        self.stacks: dict[str, list[str]] = {}
        self._formats: dict[str, SparseFormat] = {}

    def keep(self, var: relax.Var) -> relax.Var:
        """Take a parameter over as it is."""
        return self._add(var.name, self._source[var.name])

    def bias(self, chains: Sequence[DenseChain]) -> relax.Var | None:
        """Return the stacked bias of the chains, or None if they have none."""
        if chains[0].bias is None:
            return None
        names = [chain.bias.name for chain in chains if chain.bias is not None]
        if len(names) == 1:
            return self.keep(chains[0].bias)
        return self._add(
            join_names(names) + ".stacked", lambda: np.concatenate([self._source[n] for n in names])
        )

    def dense(self, chains: Sequence[DenseChain], rows: int) -> relax.Var:
        """Return the stacked weights (N, K) of the chains, in panels of `rows` outputs.

        A weight that layers share is packed once for each height of a panel they ask for.
        """
        stem = self._stem(chains)
        packed = self.values.get(f"{stem}.packed")
        if packed is not None and packed.shape[2] != rows:
            stem = f"{stem}.tile{rows}"

        def pack() -> np.ndarray:
            weights = [self._source[chain.weight[0].name] for chain in chains]
            return pack_dense(weights[0] if len(weights) == 1 else np.concatenate(weights), rows)

        return self._add(f"{stem}.packed", pack)

    def sparse(
        self, chains: Sequence[DenseChain], num_block_cols: int, form: SparseFormat
    ) -> tuple[tuple[relax.Var, ...], SparseFormat]:
        """Return the stacked BSR weights of the chains as a `PackedBSR`, and its format.

        A weight that layers share is packed once, in the format that the first of them asks for,
        unless their token tiles differ, which the offsets depend on.
        """
        stem = self._stem(chains)
        if stem in self._formats and self._formats[stem].token_tile != form.token_tile:
            stem = f"{stem}.tile{form.token_tile}"
        names = [f"{stem}.packed.{array}" for array in _ARRAYS]
        if stem not in self._formats:
            parts = [[self._source[var.name] for var in chain.weight] for chain in chains]
            data = np.concatenate([part[0] for part in parts])
            indices = np.concatenate([part[1] for part in parts])
            starts = np.cumsum([0, *(len(part[0]) for part in parts)])
            indptr = np.concatenate(
                [
                    np.zeros(1, np.int32),
                    *(part[2][1:] + start for part, start in zip(parts, starts, strict=False)),
                ]
            )
            self._formats[stem] = form
            packed = pack_bsr(data, indices, indptr, num_block_cols, form)
            for name, value in zip(names, packed.arrays, strict=True):
                self._add(name, value)
        return tuple(self.vars[name] for name in names), self._formats[stem]

    def keep_only(self, names: set[str]) -> None:
        """Forget every parameter whose name is not in `names`."""
        self.vars = {name: var for name, var in self.vars.items() if name in names}
        self.values = {name: value for name, value in self.values.items() if name in names}

    def _stem(self, chains: Sequence[DenseChain]) -> str:
        names = [base_name(chain.weight[0].name) for chain in chains]
        stem = join_names(names)
        if len(names) > 1:
            self.stacks[stem] = names
        return stem

    def _add(self, name: str, value: object) -> relax.Var:
        if name not in self.vars:
            array: np.ndarray = value() if callable(value) else value  # type: ignore[assignment]
            self.values[name] = array
            self.vars[name] = relax.Var(name, relax.TensorType(array.shape, str(array.dtype)))
        return self.vars[name]
