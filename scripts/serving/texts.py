"""Texts of so many tokens, and of many lengths: sentences of docstrings of the standard library."""

from __future__ import annotations

import functools
import random
import sysconfig
from pathlib import Path

from make_texts import modules_of, texts_of

from tvm_sparse.text.text_model import TextModel

SHORTEST, LONGEST = 5, 300


@functools.cache
def sentences(seed: int = 0) -> tuple[str, ...]:
    """Return sentences in an order of their own, none twice."""
    modules = sorted(modules_of(Path(sysconfig.get_paths()["stdlib"])))
    found = list(dict.fromkeys(text for module in modules for text in texts_of(module)))
    random.Random(seed).shuffle(found)
    return tuple(found)


def text_of(model: TextModel, tokens: int) -> str:
    """Return a text of so many tokens, special ones included."""
    words: list[str] = []
    for word in " ".join(sentences()[:200]).split():
        if count(model, " ".join([*words, word])) <= tokens:
            words.append(word)
        if count(model, " ".join(words)) == tokens:
            return " ".join(words)
    raise ValueError(f"no text of {tokens} tokens")


def natural_texts(model: TextModel, number: int, seed: int = 0) -> list[str]:
    """Return texts of `SHORTEST` to `LONGEST` tokens: titles, sentences and short passages."""
    rng, waiting, found = random.Random(seed), list(sentences(seed)), []
    while len(found) < number:
        passage = " ".join(waiting.pop() for _ in range(rng.choice((1, 1, 1, 2, 3, 4, 6, 9))))
        if rng.random() < 0.2:
            passage = " ".join(passage.split()[: rng.randrange(3, 12)])
        if SHORTEST <= count(model, passage) <= LONGEST:
            found.append(passage)
    return found


def spread_texts(model: TextModel, number: int, seed: int = 0) -> list[str]:
    """Return texts whose tokens are spread evenly over `SHORTEST` to `LONGEST`."""
    rng, words = random.Random(seed), " ".join(sentences(seed)).split()
    lengths = [SHORTEST + (LONGEST - SHORTEST) * n // (number - 1) for n in range(number)]
    rng.shuffle(lengths)
    found = []
    for length in lengths:
        start = rng.randrange(len(words) - LONGEST)
        taken = words[start : start + length]
        while count(model, " ".join(taken)) > length:
            taken.pop()
        found.append(" ".join(taken))
    return found


def count(model: TextModel, text: str) -> int:
    """Return of how many tokens a text is, special ones included."""
    return len(ids_of(model, text))


def ids_of(model: TextModel, text: str) -> list[int]:
    """Return the ids of a text."""
    ids: list[int] = model.tokenizer.encode(text, most=512).ids
    return ids
