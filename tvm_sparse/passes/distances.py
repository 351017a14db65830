"""Find disentangled attention: scores of a query and a key with features of how far they are apart.

Models multiply all queries (or keys) with the features of all distances, and gather from that the
distance of each pair. Which features a pair meets depends on its distance alone: the kernel of
attention reads them as vectors, and nothing is gathered.

Source: He et al., DeBERTa: decoding-enhanced BERT with disentangled attention (2021), equation 4.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.formats.token_layout import TokenLayout
from tvm_sparse.ir.expressions import op_name, permutation, scalar_value, tensor_shape
from tvm_sparse.kernels.attention_terms import distance_width


@dataclass(frozen=True)
class Distances:
    """Scores of queries, or of keys, with features of distances.

    Attributes
    ----------
    weight : relax.Var
        Features, (heads or batch * heads, head_dim, places).
    factor : float
        On the scores.
    by_query : bool
        Whether queries meet the features, not keys.
    places : numpy.ndarray
        Where the features of each distance are: of a query S - 1 tokens in front of a key first,
        (2 S - 1,).
    """

    weight: relax.Var
    factor: float
    by_query: bool
    places: np.ndarray[Any, Any]

    def packed(
        self, features: np.ndarray[Any, Any], heads: int, scale: float, layout: TokenLayout
    ) -> np.ndarray[Any, Any]:
        """Return the weight as the kernel reads it, for scores that are multiplied by `scale`."""
        features = features.reshape(-1, *features.shape[-2:])[:heads]
        tokens = layout.tiles_per_sequence * layout.token_tile
        columns = np.zeros((*features.shape[:2], distance_width(tokens, layout.lanes)), np.float32)
        first = tokens - layout.seq_len + 1
        found = features[..., self.places] * (self.factor / scale)
        columns[..., first : first + len(self.places)] = found
        return columns


def find_distances(
    term: relax.Expr,
    query: relax.Expr,
    key: relax.Expr,
    value: Mapping[relax.Var, Any],
    weights: Collection[relax.Var],
) -> list[Distances]:
    """Return what a term of a bias is the sum of, empty if not of this alone.

    `query` and `key` are the operands of the attention, (batch, seq_len, heads, head_dim).
    """
    found: list[Distances] = []
    pending = [(term, 1.0)]
    while pending:
        expr, factor = pending.pop()
        call: Any = value.get(expr)
        name = op_name(call)
        numbers = [scalar_value(arg) for arg in call.args] if call is not None and name else []
        if name == "relax.add":
            pending += [(arg, factor) for arg in call.args]
        elif name == "relax.reshape" and _keeps_last_axes(call):
            pending.append((call.args[0], factor))
        elif name == "relax.divide" and numbers[1]:
            pending.append((call.args[0], factor / numbers[1]))
        elif name == "relax.multiply" and numbers[1] is not None:
            pending.append((call.args[0], factor * numbers[1]))
        else:
            one = _gathered(expr, factor, query, key, value, weights)
            if one is None:
                return []
            found.append(one)
    sides = [one.by_query for one in found]
    return found if len(set(sides)) == len(sides) else []


def _gathered(
    expr: relax.Expr,
    factor: float,
    query: relax.Expr,
    key: relax.Expr,
    value: Mapping[relax.Var, Any],
    weights: Collection[relax.Var],
) -> Distances | None:
    call: Any = value.get(expr)
    turned = False
    if op_name(call) == "relax.permute_dims" and _swaps_last_axes(call):
        call, turned = value.get(call.args[0]), True
    if op_name(call) != "relax.gather_elements":
        return None
    product: Any = value.get(call.args[0])
    index = call.args[1]
    rank = len(tensor_shape(call))
    last = int(call.attrs.axis) % rank == rank - 1
    if op_name(product) != "relax.matmul" or not last or not isinstance(index, tvm.ir.GenericConst):
        return None
    rows, weight = product.args
    while op_name(value.get(weight)) == "relax.reshape" and _keeps_last_axes(value[weight]):
        weight = value[weight].args[0]
    places = _places(index.value.numpy(), turned)
    operand = key if turned else query
    if weight not in weights or places is None or not _are_heads(rows, operand, value):
        return None
    # Scores turned are those of keys; unturned ones those of queries.
    return Distances(weight, factor, not turned, places)


def _places(index: np.ndarray[Any, Any], turned: bool) -> np.ndarray[Any, Any] | None:
    """Return the place of each distance, None if pairs as far apart have different ones."""
    pairs = index.reshape(-1, *index.shape[-2:])
    if pairs.shape[1] != pairs.shape[2] or not (pairs == pairs[:1]).all():
        return None
    by_pair = pairs[0].T if turned else pairs[0]
    # Of queries in front of the last key, then of those behind the first.
    places = np.concatenate([by_pair[:-1, -1], by_pair[:, 0]])
    position = np.arange(len(by_pair))
    apart = position[:, None] - position + len(by_pair) - 1
    return places if (places[apart] == by_pair).all() else None


def _are_heads(rows: relax.Expr, operand: relax.Expr, value: Mapping[relax.Var, Any]) -> bool:
    """Return whether rows are those of the heads of an operand, a batch of one dropped or not."""
    call: Any = value.get(rows)
    if op_name(call) == "relax.reshape" and _keeps_last_axes(call):
        call = value.get(call.args[0])
    if op_name(call) != "relax.permute_dims":
        return False
    heads, shape = call.args[0], tensor_shape(operand)
    moved = {4: [0, 2, 1, 3], 3: [1, 0, 2]}.get(len(tensor_shape(heads)))
    same = tensor_shape(heads) in (shape, shape[1:] if shape[0] == 1 else shape)
    return same and permutation(call) == moved and _alike(heads, operand, value)


def _alike(one: relax.Expr, other: relax.Expr, value: Mapping[relax.Var, Any]) -> bool:
    """Return whether two tensors hold the same numbers in the same order."""
    found = []
    for expr in (one, other):
        while op_name(value.get(expr)) == "relax.reshape":
            expr = value[expr].args[0]
        found.append(expr)
    return bool(found[0].same_as(found[1]))


def _keeps_last_axes(call: Any) -> bool:
    return tensor_shape(call)[-2:] == tensor_shape(call.args[0])[-2:]


def _swaps_last_axes(call: Any) -> bool:
    axes = permutation(call)
    return axes == [*range(len(axes) - 2), len(axes) - 1, len(axes) - 2]
