"""Tokens of plain texts, word by word: a tokenizer of BERT's splits each word by itself.

So the tokens of a word are asked for once, and a text is as many look-ups as it has words: an
eighth of what the library takes, without where in the text each token is.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

#: What has neither accents nor letters of other scripts, nor what a normalizer takes away.
_PLAIN = re.compile(r"[\t\n\r -~]*").fullmatch
#: Words and marks, as BERT's first split has them.
_WORDS = re.compile(r"[A-Za-z0-9]+|[!-/:-@\[-`{-~]").findall
_BERT = ("BertNormalizer", "BertPreTokenizer", "WordPiece")
#: Words that are kept: more than any vocabulary has; and their characters. So nobody's texts fill
#: the memory: a word of as many tokens takes 1 kB, all of them 134 MB.
_MOST_WORDS, _LONGEST_WORD = 1 << 17, 24


@dataclass(frozen=True, slots=True)
class Words:
    """A text in tokens; what is asked of a `tokenizers.Encoding`.

    Attributes
    ----------
    ids, type_ids : list of int
        Of each token, special ones included.
    overflowing : bool
        Whether the text was cut.
    """

    ids: list[int]
    type_ids: list[int]
    overflowing: bool


class KnownWords:
    """Splits plain texts into tokens; safe to use from several threads.

    Parameters
    ----------
    split : callable
        Returns the tokens of one word.
    lowercase : bool
        Whether capitals are small letters.
    added : list of str
        Tokens that the library looks for before it splits texts.
    before, behind : list of int
        Special tokens around a text.
    type_ids : tuple of (list of int, int, list of int)
        Of the tokens before a text, of each of its own, and of those behind it.
    """

    def __init__(
        self,
        split: Callable[[str], Any],
        lowercase: bool,
        added: list[str],
        before: list[int],
        behind: list[int],
        type_ids: tuple[list[int], int, list[int]],
    ) -> None:
        self._split, self._lowercase, self._added = split, lowercase, added
        self._before, self._behind, self._type_ids = before, behind, type_ids
        self._known: dict[str, list[int]] = {}

    def encode(self, text: str, most: int) -> Words | None:
        """Return a text as at most so many tokens; None where it needs the library."""
        room = most - len(self._before) - len(self._behind)
        if room < 1 or _PLAIN(text) is None or any(token in text for token in self._added):
            return None
        # Each gives a token at least: what is behind these is cut, and need not be learned.
        words = _WORDS(text.lower() if self._lowercase else text)[: room + 1]
        try:
            ids = _joined(words, self._known)
        except KeyError:
            known = self._learn(words)
            if known is None:
                return None
            ids = _joined(words, known)
        cut = len(ids) > room
        if cut:
            del ids[room:]
        first, own, last = self._type_ids
        type_ids = [*first, *[own] * len(ids), *last]
        return Words([*self._before, *ids, *self._behind], type_ids, cut)

    def _learn(self, words: list[str]) -> dict[str, list[int]] | None:
        """Ask for the tokens of some words; return those of many, None if the library must."""
        if max(map(len, words)) > _LONGEST_WORD:
            return None
        known = self._known if len(self._known) < _MOST_WORDS else {}
        try:
            for word in words:
                if word not in known:
                    known[word] = [token.id for token in self._split(word)]
        except Exception:  # which the library raises of texts, too
            return None
        self._known = known
        return known


def _joined(words: list[str], known: dict[str, list[int]]) -> list[int]:
    return [number for word in words for number in known[word]]


def known_words(tokenizer: Any) -> KnownWords | None:
    """Return what splits plain texts as a tokenizer does; None if words depend on each other.

    Parameters
    ----------
    tokenizer : tokenizers.Tokenizer
        Without padding and truncation.
    """
    parts = (tokenizer.normalizer, tokenizer.pre_tokenizer, tokenizer.model)
    if tuple(type(part).__name__ for part in parts) != _BERT:
        return None
    added = tokenizer.get_added_tokens_decoder().values()
    if any(token.normalized for token in added):
        return None
    try:
        whole = tokenizer.encode("a")
    except Exception:  # a vocabulary that lacks it, and a token for what it lacks
        return None
    inside = [place for place, special in enumerate(whole.special_tokens_mask) if not special]
    if len(inside) != 1:
        return None
    (place,) = inside
    ids, types = whole.ids, whole.type_ids
    return KnownWords(
        tokenizer.model.tokenize,
        tokenizer.normalizer.lowercase,
        [token.content for token in added],
        ids[:place],
        ids[place + 1 :],
        (types[:place], types[place], types[place + 1 :]),
    )
