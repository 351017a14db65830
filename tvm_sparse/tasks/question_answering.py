"""The words of a text that answer a question."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.tasks.measures import kl_nats
from tvm_sparse.tasks.task import OnTexts, Task, View
from tvm_sparse.text.tokens import Tokens

#: Longest answer in tokens that is considered.
_MOST_ANSWER_TOKENS = 30
_NO_ANSWER = np.float32(-1e4)
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_OUTPUTS = ("start_logits", "end_logits")


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


def answer_f1(wanted: str, found: str) -> float:
    """Return the F1 of the words two answers share, case, articles and punctuation aside."""
    a, b = (_words(text) for text in (wanted, found))
    if not a or not b:
        return float(a == b)
    shared = sum((Counter(a) & Counter(b)).values())
    return 2 * shared / (len(a) + len(b))


def _view(outputs: Mapping[str, NDArray[Any]], mask: NDArray[Any]) -> View:
    # Padding is no answer, whatever the model makes of it.
    return {name: np.where(mask == 1, outputs[name], _NO_ANSWER) for name in _OUTPUTS}


def _compare(reference: View, candidate: View) -> dict[str, float]:
    """Return `exact_match` and `overlap_f1` of answer spans, and the divergence of their ends."""
    divergence = sum(kl_nats(reference[n], candidate[n]) for n in _OUTPUTS) / 2
    wanted, found = (best_spans(*(view[n] for n in _OUTPUTS)) for view in (reference, candidate))
    shared = np.minimum(wanted[:, 1], found[:, 1]) - np.maximum(wanted[:, 0], found[:, 0]) + 1
    lengths = (wanted[:, 1] - wanted[:, 0] + 1) + (found[:, 1] - found[:, 0] + 1)
    return {
        "loss": divergence,
        "exact_match": float(np.all(wanted == found, axis=1).mean()),
        "overlap_f1": float(np.mean(2 * np.maximum(shared, 0) / lengths)),
        "kl_nats": divergence,
    }


def _score(
    view: View, labels: Sequence[str], tokens: Tokens, config: Mapping[str, Any]
) -> dict[str, float]:
    """Return `exact_match` and `f1` of answers.

    A label has the words of the answer: several right ones separated by `|`, `[]` for none.
    """
    spans = best_spans(*(view[name] for name in _OUTPUTS))
    exact, f1 = [], []
    for row, (label, (first, last)) in enumerate(zip(labels, spans, strict=True)):
        right = [""] if label.strip() == "[]" else label.split("|")
        found = tokens.words(row, int(first), int(last))
        exact.append(max(_words(answer) == _words(found) for answer in right))
        f1.append(max(answer_f1(answer, found) for answer in right))
    return {"exact_match": float(np.mean(exact)), "f1": float(np.mean(f1))}


def _words(text: str) -> list[str]:
    plain = "".join(c for c in text.lower() if c not in string.punctuation)
    return _ARTICLES.sub(" ", plain).split()


TASK = Task(
    "question-answering",
    ("ForQuestionAnswering",),
    "MODEL_FOR_QUESTION_ANSWERING",
    OnTexts(_view, _compare, "exact_match", "same answer span", _score),
)
