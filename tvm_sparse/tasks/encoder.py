"""An encoder by itself: hidden states, judged by sentence embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.tasks.task import OnTexts, Task, View


def mean_pooled(hidden: NDArray[Any], mask: NDArray[Any]) -> NDArray[np.float32]:
    """Return sentence embeddings, float32 (n, H): the mean over the tokens that are no padding.

    Of hidden states (n, seq_len, H); the mask (n, seq_len) is 1 where a token is.
    """
    weights = mask.astype(np.float32)[:, :, None]
    total = (hidden * weights).sum(axis=1, dtype=np.float32)
    return np.asarray(total / np.maximum(weights.sum(axis=1), 1))


def cosines(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    """Return the cosine of every row of `a` with that of `b`; 1 where both are zero."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    products = np.einsum("ij,ij->i", a, b)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = products / lengths
    same = np.all(a == b, axis=1)
    return np.where(same, 1.0, np.where(lengths == 0, 0.0, np.clip(cosine, -1, 1)))


def _view(outputs: Mapping[str, NDArray[Any]], mask: NDArray[Any]) -> View:
    return {"embeddings": mean_pooled(outputs["last_hidden_state"], mask)}


def _compare(reference: View, candidate: View) -> dict[str, float]:
    """Return cosines of embeddings, and how often the text closest to each is the same one."""
    wanted, found = reference["embeddings"], candidate["embeddings"]
    cosine = cosines(wanted, found)
    result = {
        "loss": float(1 - cosine.mean()),
        "cosine_mean": float(cosine.mean()),
        "cosine_p05": float(np.quantile(cosine, 0.05)),
        "cosine_min": float(cosine.min()),
    }
    if len(wanted) > 2:
        same = _nearest(wanted) == _nearest(found)
        result["neighbour_agreement"] = float(same.mean())
    return result


def _nearest(embeddings: NDArray[Any]) -> NDArray[np.int64]:
    """Return for each row the other row with the largest cosine."""
    unit = embeddings / np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -np.inf)
    return np.asarray(similarity.argmax(axis=1))


TASK = Task(
    "encoder",
    # Pretraining heads are training devices, nothing one deploys: such a checkpoint is taken as
    # its encoder.
    ("ForPreTraining", "Model"),
    "MODEL",
    OnTexts(_view, _compare, "cosine_mean", "cosine of embeddings"),
)
