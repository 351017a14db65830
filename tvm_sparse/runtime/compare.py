"""Find the first layer in which two builds of one model compute different values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tvm_sparse.runtime.loaded_model import LoadedModel
from tvm_sparse.runtime.metadata import KernelCall

#: Kinds of kernels whose results are row-major.
_ROW_KERNELS = ("unpack_tokens", "first_tokens", "row_dense")


@dataclass(frozen=True)
class Difference:
    """How far two arrays are apart.

    Attributes
    ----------
    max_absolute : float
        Largest absolute difference; infinite when one side is not finite where the other is.
    max_relative : float
        `max_absolute` over the largest magnitude of the reference, 0 when nothing differs.
    mismatched : float
        Share of elements beyond the tolerances, 0..1.
    """

    max_absolute: float
    max_relative: float
    mismatched: float


@dataclass(frozen=True)
class LayerDifference:
    """The first layer that differs, and by how much."""

    layer: str
    reference_kernel: str
    kernel: str
    difference: Difference

    def __str__(self) -> str:
        return (
            f"{self.layer} ({self.reference_kernel} against {self.kernel}): "
            f"{self.difference.mismatched:.1%} of its values differ, at most by "
            f"{self.difference.max_absolute:.3g}"
        )


def difference(
    actual: np.ndarray[Any, Any], reference: np.ndarray[Any, Any], atol: float, rtol: float
) -> Difference:
    """Compare two arrays of one shape.

    Parameters
    ----------
    actual, reference : numpy.ndarray
        What is checked, and what it should be.
    atol, rtol : float
        An element differs when |actual - reference| > atol * scale + rtol * |reference|. The scale
        is the largest magnitude of the reference, 1 at least: small sums of large terms are off by
        what the terms are. Two infinite values are equal when they are the same; NaN equals
        nothing.
    """
    left, right = actual.astype(np.float64), reference.astype(np.float64)
    scale = float(np.abs(right[np.isfinite(right)]).max(initial=0.0))
    differing = ~np.isclose(left, right, rtol=rtol, atol=atol * max(1.0, scale))
    with np.errstate(invalid="ignore"):
        gap = np.abs(left - right)
    gap = np.where(left == right, 0.0, gap)
    gap = np.where(np.isnan(gap), np.inf, gap)
    max_absolute = float(gap.max(initial=0.0))
    max_relative = 0.0 if max_absolute == 0 else (max_absolute / scale if scale else np.inf)
    return Difference(
        max_absolute, float(max_relative), float(differing.mean()) if differing.size else 0.0
    )


def first_difference(
    reference: LoadedModel,
    candidate: LoadedModel,
    inputs: Mapping[str, np.ndarray[Any, Any]],
    atol: float,
    rtol: float,
) -> LayerDifference | None:
    """Run two builds of one model and name the first layer whose results differ.

    Parameters
    ----------
    reference, candidate : LoadedModel
        Two builds with the same layer names in their metadata, on token tiles of whatever size.
        Layers that only one of them has, or whose results are not comparable, are passed over.
    inputs : mapping of str to numpy.ndarray
        Inputs of both.
    atol, rtol : float
        Tolerances, see `difference`.

    Returns
    -------
    LayerDifference or None
        None when every layer that both have agrees.

    Raises
    ------
    InputError
        If an input does not fit the models.
    ArtifactError
        If the metadata of one lists other kernel calls than are made.
    """
    expected: dict[tuple[str, int], tuple[KernelCall, np.ndarray[Any, Any]]] = {}
    seen: Counter[str] = Counter()
    found: list[LayerDifference] = []
    batch, *rest = inputs[reference.inputs[0].name].shape
    seq_len = rest[0] if len(rest) == 1 else None

    def keep(call: KernelCall, result: np.ndarray[Any, Any]) -> None:
        # Words of integers are no values: a neighbour's rounding shows in them a thousandfold.
        if call.layer and call.facts.kind != "quantize_tokens":
            live = _live_tokens(call, result, reference.metadata.token_tile, batch, seq_len)
            expected[call.layer, seen[call.layer]] = (call, live.copy())
            seen[call.layer] += 1

    def compare(call: KernelCall, result: np.ndarray[Any, Any]) -> None:
        key = (call.layer, seen[call.layer])
        seen[call.layer] += 1
        if found or key not in expected:
            return
        twin, wanted = expected.pop(key)
        live = _live_tokens(call, result, candidate.metadata.token_tile, batch, seq_len)
        pair = _common_tokens(live, wanted, batch, seq_len)
        if pair is None:
            return
        gap = difference(*pair, atol, rtol)
        if gap.mismatched:
            found.append(LayerDifference(call.layer, twin.kernel, call.kernel, gap))

    reference.trace(inputs, keep)
    seen.clear()
    candidate.trace(inputs, compare)
    return found[0] if found else None


def _live_tokens(
    call: KernelCall,
    result: np.ndarray[Any, Any],
    token_tile: int,
    batch: int,
    seq_len: int | None,
) -> np.ndarray[Any, Any]:
    """Return a result of a build of any length without what its tiles hold behind the tokens."""
    if not token_tile or seq_len is None or call.facts.kind in _ROW_KERNELS:
        return result
    if result.ndim != 3 or result.shape[2] != token_tile:
        return result
    in_tiles = len(result) == batch * -(-seq_len // token_tile)
    return _rows(result, batch, seq_len) if in_tiles else result


def _common_tokens(
    left: np.ndarray[Any, Any], right: np.ndarray[Any, Any], batch: int, seq_len: int | None
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]] | None:
    """Return two results of one layer in one shape, or None when they have none in common.

    Builds choose their own token tiles: (tiles, features, T) of different T become
    (batch, tokens, features), without the padding behind each sequence.

    Parameters
    ----------
    left, right : numpy.ndarray
        Results in the layouts of their kernels.
    batch, seq_len : int, int or None
        Extents of the model's input; None for one that is no sequence of tokens.
    """
    if left.shape == right.shape:
        return left, right
    if left.ndim != 3 or right.ndim != 3 or left.shape[1] != right.shape[1]:
        return None
    for sequences, tokens in _token_counts(left, right, batch, seq_len):
        if all(len(x) == sequences * -(-tokens // x.shape[2]) for x in (left, right)):
            return _rows(left, sequences, tokens), _rows(right, sequences, tokens)
    return None


def _token_counts(
    left: np.ndarray[Any, Any], right: np.ndarray[Any, Any], batch: int, seq_len: int | None
) -> list[tuple[int, int]]:
    """List what the tiles may hold: (sequences, tokens of each)."""
    if seq_len is not None:
        # All tokens, the same without their sequences, and one pooled token a sequence.
        return [(batch, seq_len), (1, batch * seq_len), (1, batch)]
    # How many patches an image has the signature does not tell: as many tokens as both hold.
    held = min(len(x) // batch * x.shape[2] for x in (left, right))
    return [(batch, held), (1, batch)]


def _rows(tiles: np.ndarray[Any, Any], sequences: int, tokens: int) -> np.ndarray[Any, Any]:
    """Bring (tiles, features, T) to (sequences, tokens, features)."""
    features = tiles.shape[1]
    return tiles.transpose(0, 2, 1).reshape(sequences, -1, features)[:, :tokens]
