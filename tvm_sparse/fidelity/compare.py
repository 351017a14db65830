"""How close a model's results are to another's, without labels.

Every measure is 1 (or 0, for divergences) when both give the same, and each task has one `loss`:
a number that is 0 for equal results, grows with every change, and adds up over small changes made
in different layers, which is what a budget is spent by.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.errors import InputError
from tvm_sparse.fidelity.views import View

#: Longest answer in tokens that is considered.
_MOST_ANSWER_TOKENS = 30
#: The measure a task is plotted by, and what it is called.
MAIN_MEASURE = {
    "encoder": ("cosine_mean", "cosine of embeddings"),
    "sequence-classification": ("agreement", "same class"),
    "token-classification": ("agreement", "same class"),
    "question-answering": ("exact_match", "same answer span"),
    "masked-lm": ("agreement", "same token"),
}


def compare(task: str, reference: View, candidate: View) -> dict[str, float]:
    """Compare what `views.collect` kept of two models on the same texts.

    Parameters
    ----------
    task : str
        One of `views.TASKS`.
    reference, candidate : dict of str to ndarray
        Of the dense model, and of the pruned one.

    Returns
    -------
    dict of str to float
        `loss`, and the measures of the task: cosines of embeddings (`cosine_mean`, `cosine_p05`,
        `cosine_min`), `neighbour_agreement` (the text closest to each text is the same one);
        `agreement` of the likeliest class, `kl_nats`; `exact_match` and `overlap_f1` of answer
        spans.

    Raises
    ------
    InputError
        The two have different shapes: they are no versions of one model.
    """
    for name, value in reference.items():
        found = candidate[name].shape if name in candidate else "nothing"
        if found != value.shape:
            raise InputError(
                f"the models give {name} of shapes {value.shape} and {found}: only versions of "
                "one model can be compared"
            )
    if task == "encoder":
        return _embeddings(reference["embeddings"], candidate["embeddings"])
    if task == "question-answering":
        return _spans(reference, candidate)
    return _classes(reference["logits"], candidate["logits"])


def cosines(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    """Return the cosine of every row of `a` with that of `b`; 1 where both are zero."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    products = np.einsum("ij,ij->i", a, b)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = products / lengths
    same = np.all(a == b, axis=1)
    return np.where(same, 1.0, np.where(lengths == 0, 0.0, np.clip(cosine, -1, 1)))


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


def best_spans(start: NDArray[Any], end: NDArray[Any]) -> NDArray[np.int64]:
    """Return the likeliest answer of each text as (first token, last token), int64 (n, 2)."""
    seq_len = start.shape[1]
    first, last = np.indices((seq_len, seq_len))
    refused = (last < first) | (last >= first + _MOST_ANSWER_TOKENS)
    best = np.empty((len(start), 2), np.int64)
    # One text at a time: all pairs of tokens of many texts would not fit in memory.
    for row, (starts, ends) in enumerate(zip(start, end, strict=True)):
        scores = np.where(refused, -np.inf, starts[:, None].astype(np.float64) + ends[None, :])
        best[row] = np.unravel_index(scores.argmax(), scores.shape)
    return best


def _embeddings(reference: NDArray[Any], candidate: NDArray[Any]) -> dict[str, float]:
    cosine = cosines(reference, candidate)
    result = {
        "loss": float(1 - cosine.mean()),
        "cosine_mean": float(cosine.mean()),
        "cosine_p05": float(np.quantile(cosine, 0.05)),
        "cosine_min": float(cosine.min()),
    }
    if len(reference) > 2:
        same = _nearest(reference) == _nearest(candidate)
        result["neighbour_agreement"] = float(same.mean())
    return result


def _nearest(embeddings: NDArray[Any]) -> NDArray[np.int64]:
    """Return for each row the other row with the largest cosine."""
    unit = embeddings / np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -np.inf)
    nearest: NDArray[np.int64] = similarity.argmax(axis=1)
    return nearest


def _classes(reference: NDArray[Any], candidate: NDArray[Any]) -> dict[str, float]:
    divergence = kl_nats(reference, candidate)
    if reference.shape[-1] == 1:
        return {"loss": divergence, "mean_squared_error": 2 * divergence}
    same = reference.argmax(axis=-1) == candidate.argmax(axis=-1)
    return {"loss": divergence, "agreement": float(same.mean()), "kl_nats": divergence}


def _spans(reference: View, candidate: View) -> dict[str, float]:
    names = ("start_logits", "end_logits")
    divergence = sum(kl_nats(reference[n], candidate[n]) for n in names) / 2
    wanted, found = (best_spans(view[names[0]], view[names[1]]) for view in (reference, candidate))
    shared = np.minimum(wanted[:, 1], found[:, 1]) - np.maximum(wanted[:, 0], found[:, 0]) + 1
    lengths = (wanted[:, 1] - wanted[:, 0] + 1) + (found[:, 1] - found[:, 0] + 1)
    return {
        "loss": divergence,
        "exact_match": float(np.all(wanted == found, axis=1).mean()),
        "overlap_f1": float(np.mean(2 * np.maximum(shared, 0) / lengths)),
        "kl_nats": divergence,
    }
