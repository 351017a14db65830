"""The likeliest spans of tokens, and the characters they stand for."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Instead of the logits of tokens that cannot be in an answer.
_NEVER = np.float32(-10000)

Span = tuple[int, int, float]


def best_spans(
    start: NDArray[Any],
    end: NDArray[Any],
    candidates: NDArray[np.bool_],
    count: int,
    most_tokens: int,
) -> tuple[list[Span], float]:
    """Return the likeliest spans of one part of a text, and how likely it has none.

    The score of a span is the product of the probabilities that it starts and ends there.

    Parameters
    ----------
    start, end : ndarray
        Logits (tokens,).
    candidates : ndarray of bool
        Which tokens may be in a span, and the first token, which stands for none.
    count : int
        How many spans to look at; those with other tokens at their ends are left out.
    most_tokens : int
        Of a span.

    Returns
    -------
    spans : list of tuple
        First token, last token and score, the likeliest first.
    none : float
        The score of the first token.
    """
    starts, ends = (_probabilities(logits, candidates) for logits in (start, end))
    none = float(starts[0] * ends[0])
    starts[0] = ends[0] = 0
    scores = np.tril(np.triu(np.outer(starts, ends)), most_tokens - 1)
    flat = -scores.ravel()
    if count == 1:
        ranked = np.array([flat.argmin()])
    elif len(flat) <= count:
        ranked = np.argsort(flat)
    else:
        best = np.argpartition(flat, count)[:count]
        ranked = best[np.argsort(flat[best])]
    firsts, lasts = np.unravel_index(ranked, scores.shape)
    return [
        (int(first), int(last), float(scores[first, last]))
        for first, last in zip(firsts, lasts, strict=True)
        if candidates[first] and candidates[last]
    ], none


def span_characters(encoding: Any, first: int, last: int, whole_words: bool) -> tuple[int, int]:
    """Return the first and the last + 1 character of tokens of the second text of a pair.

    Parameters
    ----------
    encoding : tokenizers.Encoding
        The pair.
    first, last : int
        The tokens.
    whole_words : bool
        Whether to take in what else there is of their words, if the tokenizer knows of words.
    """
    if whole_words:
        words = encoding.token_to_word(first), encoding.token_to_word(last)
        if None not in words:
            spans = [encoding.word_to_chars(word, 1) for word in words]
            if None not in spans:
                return spans[0][0], spans[1][1]
    return encoding.offsets[first][0], encoding.offsets[last][1]


def _probabilities(logits: NDArray[Any], candidates: NDArray[np.bool_]) -> NDArray[np.float32]:
    kept = np.where(candidates, logits, _NEVER)
    powers = np.exp(kept - kept.max())
    return np.asarray(powers / powers.sum(), np.float32)
