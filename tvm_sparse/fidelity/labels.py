"""How often a model is right, where somebody has written down what is right."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.errors import ConfigError, InputError
from tvm_sparse.fidelity.compare import best_spans
from tvm_sparse.fidelity.views import View
from tvm_sparse.text.tokens import Tokens

_ARTICLES = re.compile(r"\b(a|an|the)\b")


def score(
    task: str, view: View, labels: Sequence[str], tokens: Tokens, config: Mapping[str, Any]
) -> dict[str, float]:
    """Compare a model's results with labels.

    Parameters
    ----------
    task : str
        `sequence-classification` or `question-answering`.
    view : dict of str to ndarray
        What `views.collect` kept of the model.
    labels : sequence of str
        One a text: a class by name or number, a number for a regression, or an answer's words
        (several right ones separated by `|`, empty brackets `[]` for none).
    tokens : Tokens
        The texts.
    config : mapping
        The model's `config.json`: the names of its classes.

    Returns
    -------
    dict of str to float
        `accuracy` and `f1` (the mean of the classes' F1) of classes; `exact_match` and `f1` of
        answers; `pearson` and `spearman` of a regression.

    Raises
    ------
    ConfigError
        The task has no labels of one a text.
    InputError
        A label is no class of the model, or no number.
    """
    if task == "question-answering":
        return _score_answers(view, labels, tokens)
    if task != "sequence-classification":
        raise ConfigError(
            f"--labels given for a model for {task}: labels of one a line are for "
            "sequence-classification and question-answering"
        )
    logits = view["logits"]
    if logits.shape[1] == 1:
        return _score_numbers(logits[:, 0], labels)
    wanted = np.array(label_ids(labels, class_names(config, logits.shape[1])))
    found = logits.argmax(axis=1)
    return {"accuracy": float((wanted == found).mean()), "f1": macro_f1(wanted, found)}


def class_names(config: Mapping[str, Any], count: int) -> list[str]:
    """Return the names of a model's classes by number."""
    names = {int(i): str(name) for i, name in (config.get("id2label") or {}).items()}
    return [names.get(i, f"LABEL_{i}") for i in range(count)]


def label_ids(labels: Sequence[str], names: Sequence[str]) -> list[int]:
    """Return labels, names of classes or their numbers, as numbers.

    Raises
    ------
    InputError
        A label is no class of the model.
    """
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


def answer_f1(wanted: str, found: str) -> float:
    """Return the F1 of the words two answers share, case, articles and punctuation aside."""
    a, b = (_words(text) for text in (wanted, found))
    if not a or not b:
        return float(a == b)
    shared = sum((Counter(a) & Counter(b)).values())
    return 2 * shared / (len(a) + len(b))


def _score_answers(view: View, labels: Sequence[str], tokens: Tokens) -> dict[str, float]:
    spans = best_spans(view["start_logits"], view["end_logits"])
    exact, f1 = [], []
    for row, (label, (first, last)) in enumerate(zip(labels, spans, strict=True)):
        right = [""] if label.strip() == "[]" else label.split("|")
        found = tokens.words(row, int(first), int(last))
        exact.append(max(_words(answer) == _words(found) for answer in right))
        f1.append(max(answer_f1(answer, found) for answer in right))
    return {"exact_match": float(np.mean(exact)), "f1": float(np.mean(f1))}


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


def _words(text: str) -> list[str]:
    plain = "".join(c for c in text.lower() if c not in string.punctuation)
    return _ARTICLES.sub(" ", plain).split()
