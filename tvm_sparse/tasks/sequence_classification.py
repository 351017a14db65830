"""Classes or one number for a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.errors import InputError
from tvm_sparse.tasks.measures import compare_classes
from tvm_sparse.tasks.task import OnTexts, Task, View
from tvm_sparse.text.labels import class_names
from tvm_sparse.text.tokens import Tokens


def label_ids(labels: Sequence[str], names: Sequence[str]) -> list[int]:
    """Return labels, names of classes or their numbers, as numbers; InputError for all others."""
    numbers = {str(i): i for i in range(len(names))}
    numbers |= {name.lower(): i for i, name in enumerate(names)}
    unknown = [label for label in labels if label.strip().lower() not in numbers]
    if unknown:
        raise InputError(
            f"label {unknown[0]!r} given: the model's classes are {', '.join(names)} "
            f"(or 0 to {len(names) - 1})"
        )
    return [numbers[label.strip().lower()] for label in labels]


def macro_f1(wanted: NDArray[Any], found: NDArray[Any]) -> float:
    """Return the mean F1 over the classes that occur in either."""
    scores = []
    for label in np.union1d(wanted, found):
        hits = int(((wanted == label) & (found == label)).sum())
        scores.append(2 * hits / int((wanted == label).sum() + (found == label).sum()))
    return float(np.mean(scores))


def _view(outputs: Mapping[str, NDArray[Any]], mask: NDArray[Any]) -> View:
    return {"logits": outputs["logits"]}


def _score(
    view: View, labels: Sequence[str], tokens: Tokens, config: Mapping[str, Any]
) -> dict[str, float]:
    """Return `accuracy` and `f1`, the mean of the classes' F1; correlations of a regression."""
    logits = view["logits"]
    if logits.shape[1] == 1:
        return _score_numbers(logits[:, 0], labels)
    wanted = np.array(label_ids(labels, class_names(config, logits.shape[1])))
    found = logits.argmax(axis=1)
    return {"accuracy": float((wanted == found).mean()), "f1": macro_f1(wanted, found)}


def _score_numbers(found: NDArray[Any], labels: Sequence[str]) -> dict[str, float]:
    try:
        wanted = np.array([float(label) for label in labels])
    except ValueError as error:
        raise InputError(f"the model predicts a number, a label is none: {error}") from None

    def correlation(a: NDArray[Any], b: NDArray[Any]) -> float:
        spread = a.std() * b.std()
        return float(((a - a.mean()) * (b - b.mean())).mean() / spread) if spread else 0.0

    from scipy.stats import rankdata

    return {
        "pearson": correlation(wanted, found.astype(np.float64)),
        "spearman": correlation(rankdata(wanted), rankdata(found)),
    }


TASK = Task(
    "sequence-classification",
    ("ForSequenceClassification",),
    "MODEL_FOR_SEQUENCE_CLASSIFICATION",
    OnTexts(_view, compare_classes, "agreement", "same class", _score),
)
