"""The Hessian of a dense layer's squared output error: X^T X over calibration tokens."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.errors import SparsityError

#: Tokens that are collected before they are multiplied: one product in float32 stays accurate,
#: and the addition in float64 is cheap beside it.
_ROWS_AT_ONCE = 2048


class HessianSum:
    """Adds up X^T X of inputs of `width` K, or only its diagonal, batch by batch."""

    def __init__(self, width: int, diagonal: bool = False) -> None:
        self._diagonal = diagonal
        self._sum = np.zeros(width if diagonal else (width, width))
        self._rows: list[NDArray[np.float32]] = []
        self.tokens = 0

    def add(self, rows: NDArray[np.float32]) -> None:
        """Add tokens: float32 (tokens, K), copied."""
        self.tokens += len(rows)
        if self._diagonal:
            self._sum += np.einsum("tk,tk->k", rows, rows, dtype=np.float64)
            return
        self._rows.append(np.array(rows))
        if sum(map(len, self._rows)) >= _ROWS_AT_ONCE:
            self._flush()

    def result(self) -> NDArray[np.float64]:
        """Return the sum over all tokens so far: float64 (K, K), or (K,) of the diagonal."""
        self._flush()
        return self._sum

    def _flush(self) -> None:
        if self._rows:
            rows = np.concatenate(self._rows)
            self._rows = []
            self._sum += rows.T @ rows


def damped(hessian: NDArray[np.float64], damping: float) -> NDArray[np.float64]:
    """Return the Hessian with a multiple of its mean diagonal added to the diagonal.

    It is positive definite afterwards, however few tokens it was made from: inputs that are always
    zero get the damping alone, so their weights are the first to go and touch no other. A damping
    of 0.01 is usual. Raises SparsityError if a value is infinite or not a number.
    """
    mean = float(np.trace(hessian)) / len(hessian)
    if not np.isfinite(mean) or not np.isfinite(hessian).all():
        raise SparsityError("the calibration gave activations that are infinite or not a number")
    result: NDArray[np.float64] = hessian.copy()
    # Without any signal every weight counts alike.
    result[np.diag_indices_from(result)] += damping * mean if mean > 0 else 1.0
    return result


def output_error(
    original: NDArray[Any], pruned: NDArray[Any], hessian: NDArray[np.float64]
) -> float:
    """Return the squared error of a layer's outputs over their squared size, 0 if both are zero.

    The weights are (N, K), the undamped Hessian (K, K).
    """
    change = original.astype(np.float64) - pruned
    size = float(np.vdot(original @ hessian, original))
    return float(np.vdot(change @ hessian, change)) / size if size > 0 else 0.0
