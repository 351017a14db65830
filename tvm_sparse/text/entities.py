"""Tokens with classes become words, and words entities."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Join = Callable[[list[str]], str]
Entity = dict[str, Any]


@dataclass(frozen=True)
class Token:
    """A token of a text.

    Attributes
    ----------
    word : str
        As the vocabulary has it.
    scores : ndarray
        Probabilities of the classes.
    start, end : int
        Its characters in the text.
    index : int
        Its number among the tokens.
    continues : bool
        Whether the word before goes on in it.
    """

    word: str
    scores: NDArray[Any]
    start: int
    end: int
    index: int
    continues: bool


def token_entity(token: Token, names: Sequence[str]) -> Entity:
    """Return a token as an entity of its likeliest class."""
    best = int(token.scores.argmax())
    return {
        "entity": names[best],
        "score": float(token.scores[best]),
        "index": token.index,
        "word": token.word,
        "start": token.start,
        "end": token.end,
    }


def aggregate_words(
    tokens: Iterable[Token], names: Sequence[str], strategy: str, join: Join
) -> list[Entity]:
    """Return words with one class each.

    Parameters
    ----------
    tokens : iterable of Token
        In their order.
    names : sequence of str
        Of the classes.
    strategy : str
        Whose scores a word has: those of its `first` token, of the one with the `max` score, or
        the `average`.
    join : callable
        Makes a word of tokens.
    """
    words: list[list[Token]] = []
    for token in tokens:
        if words and token.continues:
            words[-1].append(token)
        else:
            words.append([token])
    entities = []
    for word in words:
        if strategy == "first":
            scores = word[0].scores
        elif strategy == "max":
            scores = max(word, key=lambda token: float(token.scores.max())).scores
        else:
            scores = np.nanmean([token.scores for token in word], axis=0)
        best = int(scores.argmax())
        entities.append(
            {
                "entity": names[best],
                "score": float(scores[best]),
                "word": join([token.word for token in word]),
                "start": word[0].start,
                "end": word[-1].end,
            }
        )
    return entities


def group_entities(entities: Iterable[Entity], join: Join) -> list[Entity]:
    """Return neighbours of one class as one entity; a class that begins with `B-` begins one."""
    groups: list[list[Entity]] = []
    for entity in entities:
        begins, tag = _tag(entity["entity"])
        if groups and not begins and tag == _tag(groups[-1][-1]["entity"])[1]:
            groups[-1].append(entity)
        else:
            groups.append([entity])
    return [
        {
            "entity_group": group[0]["entity"].split("-", 1)[-1],
            "score": float(np.nanmean([entity["score"] for entity in group])),
            "word": join([entity["word"] for entity in group]),
            "start": group[0]["start"],
            "end": group[-1]["end"],
        }
        for group in groups
    ]


def _tag(name: str) -> tuple[bool, str]:
    """Return whether a class begins an entity, and of which kind."""
    return name.startswith("B-"), name[2:] if name.startswith(("B-", "I-")) else name
