"""Tokens in 254 steps, as the kernel that quantises activations rounds them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Steps from a token's least to its largest feature: what `kernels.quantize_tokens` has.
STEPS = 254


def rounded_tokens(tokens: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return tokens as a quantised product sees them: each in 254 even steps of its own.

    Parameters
    ----------
    tokens : numpy.ndarray
        Float32 (tokens, K).

    Returns
    -------
    numpy.ndarray
        Float32 (tokens, K). Zero is one of the steps of every token.
    """
    least = np.minimum(tokens.min(axis=-1, keepdims=True), 0)
    most = np.maximum(tokens.max(axis=-1, keepdims=True), 0)
    step = np.maximum((most - least) / STEPS, np.finfo(np.float32).tiny)
    return np.asarray(np.rint(tokens / step) * step, np.float32)
