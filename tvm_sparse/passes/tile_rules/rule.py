"""What a rule of `tile_tokens` is, and what all of them see."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.formats.builds import BuildSpec
from tvm_sparse.formats.token_layout import TokenLayout
from tvm_sparse.formats.weight_format import WeightFormat
from tvm_sparse.ir.functions import Uses
from tvm_sparse.passes.dense_chains import DenseChain, find_dense_chains
from tvm_sparse.passes.gated_units import GatedPair, find_gated_units
from tvm_sparse.passes.known_values import KnownValues
from tvm_sparse.passes.open_bias import OpenTerms
from tvm_sparse.passes.packed_weights import base_name
from tvm_sparse.passes.rotations import Rotation, find_rotations
from tvm_sparse.passes.stacks import find_stacks
from tvm_sparse.passes.tiled_values import TiledValues
from tvm_sparse.passes.token_gathers import TokenGather, find_token_gathers
from tvm_sparse.passes.token_windows import TokenSum, find_token_sums
from tvm_sparse.passes.unseen_queries import ZeroedAttention, find_zeroed
from tvm_sparse.target import CpuTarget


@dataclass
class Walk:
    """One way through a function, front to back.

    Attributes
    ----------
    chains, gathers, rotations, gated, zeroed, stacks
        Its products, sums of table rows, rotary embeddings, gated units, attention that makes
        zeros, and chains that are one product together, by result.
    known
        What follows from constants and weights alone.
    values
        What has been written.
    deferred
        Operands of the additions that were left to a layer norm.
    stored
        By the canonical name of a weight that was packed: its dtype, and why it is not the one
        that the build asks for.
    tables
        Constants in token tiles, by content and layout.
    biases
        Of attention, as its kernel reads them, by the layout and the terms of each.
    terms
        Of the biases of attention of any length.
    """

    uses: Uses
    weights: set[relax.Var]
    chains: dict[relax.Var, DenseChain]
    gathers: dict[relax.Var, TokenGather]
    rotations: dict[relax.Var, Rotation]
    gated: dict[relax.Var, GatedPair]
    zeroed: dict[relax.Var, ZeroedAttention]
    sums: dict[relax.Var, TokenSum]
    stacks: dict[relax.Var, list[DenseChain]]
    known: KnownValues
    values: TiledValues
    build: BuildSpec
    deferred: dict[relax.Var, tuple[relax.Var, relax.Var]] = field(default_factory=dict)
    stored: dict[str, tuple[str, str]] = field(default_factory=dict)
    tables: dict[tuple[bytes, TokenLayout], relax.Expr] = field(default_factory=dict)
    biases: dict[tuple[object, ...], relax.Var] = field(default_factory=dict)
    terms: dict[relax.Expr, OpenTerms] = field(default_factory=dict)

    def note(
        self, chains: Sequence[DenseChain], weights: type[WeightFormat], reason: str = ""
    ) -> None:
        """Note in what the weights of products are stored, and why in nothing else."""
        for chain in chains:
            self.stored[base_name(chain.weight[0].name)] = (weights.dtype, reason)

    @classmethod
    def through(
        cls,
        func: relax.Function,
        params: Mapping[str, np.ndarray],
        target: CpuTarget,
        build: BuildSpec,
        block_rows: int,
    ) -> Walk:
        """Return the walk through a function in A-normal form; see `tile_tokens.convert`."""
        uses = Uses(func)
        weights = {var for var in func.params if var.name in params}
        rotations = find_rotations(func, uses)
        known = KnownValues(uses.value, params)
        gated, chains = find_gated_units(func, uses, find_dense_chains(func, uses, weights))
        return cls(
            uses,
            weights,
            chains,
            find_token_gathers(func, uses, weights),
            rotations,
            gated,
            find_zeroed(func, uses),
            find_token_sums(func, uses, known),
            find_stacks(chains.values(), uses, rotations.values(), gated.values()),
            known,
            TiledValues(func, params, target, block_rows),
            build,
        )

    def inner(self) -> set[relax.Var]:
        """Return the variables that are computed inside a group of them."""
        results = [
            *self.chains,
            *self.gathers,
            *self.rotations,
            *self.gated,
            *self.zeroed,
            *self.sums,
        ]
        return {var for result in results for var in self.members(result)[:-1]}

    def members(self, var: relax.Var) -> tuple[relax.Var, ...]:
        """Return the variables of the group whose result is `var`, or `var` alone."""
        kinds = (self.chains, self.gathers, self.rotations, self.gated, self.zeroed, self.sums)
        return next((kind[var].members for kind in kinds if var in kind), (var,))


class Rule:
    """How one kind of binding `var = value` is computed on token tiles.

    A rule stands for one binding: it looks at it (`pattern`), says why it refuses (`check`), and
    writes its code (`rewrite`), in this order. What it returns goes into `walk.values`.
    """

    def __init__(self, walk: Walk, var: relax.Var, value: relax.Expr) -> None:
        self.walk, self.values = walk, walk.values
        self.target = walk.values.target
        self.var, self.value = var, value

    def pattern(self) -> bool:
        """Whether the binding is of the kind."""
        raise NotImplementedError

    def check(self) -> str:
        """Why the rule refuses; empty if it applies."""
        return ""

    def rewrite(self) -> None:
        """Emit the code and note where the result lies."""
        raise NotImplementedError


def is_known(expr: relax.Expr, weights: Collection[relax.Var]) -> bool:
    """Return whether an expression is a weight or a constant."""
    return isinstance(expr, tvm.ir.GenericConst) or expr in weights


@dataclass(frozen=True)
class Refusal:
    """A rule that was of the kind of a binding, and why it did not apply."""

    var: str
    rule: str
    reason: str

    def __str__(self) -> str:
        """Return one line."""
        return f"{self.var}: {self.rule} refused: {self.reason}"
