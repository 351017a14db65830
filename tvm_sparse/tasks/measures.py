"""How close two models' results are: the measures that tasks share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.tasks.task import View


def log_softmax(logits: NDArray[Any]) -> NDArray[np.float64]:
    """Return log-probabilities over the last axis, float64."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    result: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return result


def kl_nats(reference: NDArray[Any], candidate: NDArray[Any]) -> float:
    """Return the mean Kullback-Leibler divergence of logits' classes, in nats, per row."""
    if reference.shape[-1] == 1:  # regression: one number, no classes
        return float(np.mean((reference.astype(np.float64) - candidate) ** 2) / 2)
    wanted, found = log_softmax(reference), log_softmax(candidate)
    return float(np.mean(np.sum(np.exp(wanted) * (wanted - found), axis=-1)))


def compare_classes(reference: View, candidate: View) -> dict[str, float]:
    """Compare logits (n, C): `loss`, `agreement` of the likeliest class, `kl_nats`.

    Of one class, a regression, `loss` and `mean_squared_error`.
    """
    wanted, found = reference["logits"], candidate["logits"]
    divergence = kl_nats(wanted, found)
    if wanted.shape[-1] == 1:
        return {"loss": divergence, "mean_squared_error": 2 * divergence}
    same = wanted.argmax(axis=-1) == found.argmax(axis=-1)
    return {"loss": divergence, "agreement": float(same.mean()), "kl_nats": divergence}
