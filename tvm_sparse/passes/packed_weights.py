"""Pack the weights of dense chains into what the kernels read, each set of weights once."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import count

import numpy as np
from tvm import relax

from tvm_sparse.formats.registry import FORMATS
from tvm_sparse.formats.weight_format import WeightFormat
from tvm_sparse.ir.expressions import tensor_shape
from tvm_sparse.passes.dense_chains import DenseChain

#: Attribute of a tiled function: by base name of a parameter, the weights that are stacked in it.
STACKS = "stacks"
_SUFFIX = re.compile(
    r"T|rows|stacked|packed|tile\d+|by_key\d+|folded'*|by_distance|data|indices|indptr|smoothing"
)


def base_name(param: str) -> str:
    """Return a parameter's name without the suffixes that passes append."""
    arrays = {array for kind in FORMATS.values() for array in kind.arrays}
    stem, dot, last = param.rpartition(".")
    while dot and (_SUFFIX.fullmatch(last) or last in arrays):
        param = stem
        stem, dot, last = param.rpartition(".")
    return param


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

    Attributes
    ----------
    vars, values
        The parameters by name, and what they hold: weights of `params`, which is not changed, as
        they are or packed.
    stacks
        See `STACKS`.
    """

    def __init__(self, params: Mapping[str, np.ndarray]) -> None:
        self._source = params
        self.vars: dict[str, relax.Var] = {}
        self.values: dict[str, np.ndarray] = {}
        self.stacks: dict[str, list[str]] = {}
        self._forms: dict[str, WeightFormat] = {}

    def keep(self, var: relax.Var) -> relax.Var:
        """Take a parameter over as it is."""
        return self._add(var.name, self._source[var.name])

    def derive(
        self, var: relax.Var, suffix: str, make: Callable[[np.ndarray], np.ndarray]
    ) -> relax.Var:
        """Return what `make` makes of a parameter, named after it with a suffix."""
        return self._add(f"{var.name}.{suffix}", lambda: make(self._source[var.name]))

    def computed(self, names: Iterable[str], suffix: str, array: np.ndarray) -> relax.Var:
        """Return what was made of some parameters, named after them with a suffix."""
        stem = f"{join_names(sorted(names))}.{suffix}"
        taken = (f"{stem}{number or ''}" for number in count())
        name = next(
            n for n in taken if n not in self.values or np.array_equal(self.values[n], array)
        )
        return self._add(name, array)

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

    def packed(
        self, chains: Sequence[DenseChain], form: WeightFormat
    ) -> tuple[tuple[relax.Var, ...], WeightFormat]:
        """Return the stacked weights of the chains as a kernel reads them, and their form.

        A weight that layers share is packed once, in the form that the first of them asks for,
        unless their tiles differ.
        """
        stem = self._stem(chains)
        held = self._forms.get(stem, form)
        if (type(held), held.tile) != (type(form), form.tile):
            stem = f"{stem}.tile{form.tile}"
        names = [f"{stem}.packed.{array}".removesuffix(".") for array in form.arrays]
        if stem not in self._forms:
            self._forms[stem] = form
            weight = form.stack([[self._source[v.name] for v in c.weight] for c in chains])
            arrays = form.pack(weight, int(tensor_shape(chains[0].data)[-1]))
            for name, array in zip(names, arrays, strict=True):
                self._add(name, array)
        return tuple(self.vars[name] for name in names), self._forms[stem]

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
