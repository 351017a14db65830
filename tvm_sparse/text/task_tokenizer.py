"""A model's tokenizer as tasks use it: pairs, strides, special tokens, and the way back."""

from __future__ import annotations

import functools
import os
import reprlib
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from tvm_sparse.errors import InputError
from tvm_sparse.model.text_facts import TextFacts
from tvm_sparse.text.known_words import known_words
from tvm_sparse.text.tokens import read_tokenizer, refusing

#: Which of a pair is cut if both are too long together.
Cut = Literal["longest_first", "only_first", "only_second"]

# The library keeps the length to cut at in the tokenizer, which threads share. A fork waits for
# who holds the lock.
_lock = threading.Lock()
os.register_at_fork(
    before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release
)

#: Tells the library to start no threads, which a fork would leave behind.
_THREADS_VARIABLE = "TOKENIZERS_PARALLELISM"

#: Encodings of second texts that are kept: hypotheses are the same for every text.
_KEPT = 256

#: What becomes of spaces that decoding puts between tokens, in this order.
_CLEANED = (
    *((" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'")),
    *((" n't", "n't"), (" 'm", "'m"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re")),
)


class TaskTokenizer:
    """An artifact's tokenizer; safe to use from several threads.

    Parameters
    ----------
    directory : Path
        Holds `tokenizer.json`.
    facts : TextFacts
        What else is known about it.

    Raises
    ------
    InputError
        It is missing or damaged.
    """

    def __init__(self, directory: Path, facts: TextFacts) -> None:
        self._tokenizer = read_tokenizer(directory)
        self._facts = facts
        ids = {role: self.id_of(token) for role, token in facts.special_tokens.items()}
        #: Ids of the special tokens by role.
        self.special = {role: i for role, i in ids.items() if i is not None}
        prefix = getattr(self._tokenizer.model, "continuing_subword_prefix", None)
        #: Of texts that come again and again.
        self._plain_again = functools.lru_cache(maxsize=_KEPT)(
            functools.partial(_encode_plain, self._tokenizer)
        )
        self._words = known_words(self._tokenizer)
        # The library has a faster way for batches, which it gives to threads of its own.
        self._alone = os.environ.get(_THREADS_VARIABLE) == "false"
        #: Whether a token's text tells that a word goes on in it.
        self.marks_words = bool(prefix)

    def encode(
        self,
        text: str,
        pair: str | None = None,
        *,
        most: int,
        cut: Cut = "longest_first",
        stride: int = 0,
        offsets: bool = True,
    ) -> Any:
        """Return a text, or two, as a `tokenizers.Encoding`.

        Parameters
        ----------
        text, pair : str, str or None
            The texts.
        most : int
            Tokens at most, special ones included; what is behind them is in `overflowing`.
        cut : str
            Which text is cut.
        stride : int
            Tokens of the text that is cut which the next part repeats.
        offsets : bool
            Whether it matters where in the text each token is; plain texts take an eighth of the
            time otherwise, and are `known_words.Words`.

        Raises
        ------
        InputError
            No text is given, `most` leaves no room for it, or the tokenizer fails on it.
        """
        for one in (text, "" if pair is None else pair):
            if not isinstance(one, str):
                raise InputError(f"{reprlib.repr(one)} given: texts are needed")
        if self._words is not None and pair is None and not offsets:
            words = self._words.encode(text, most)
            if words is not None and words.ids:
                return words
        with _lock, refusing("the tokenizer fails on", text):
            self._truncate(most, cut, stride)
            if offsets or not self._alone:
                encoded = self._tokenizer.encode(text, pair)
            else:
                given = text if pair is None else (text, pair)
                (encoded,) = self._tokenizer.encode_batch_fast([given])
        if not encoded.ids:
            raise InputError(f"the tokenizer makes no tokens of {reprlib.repr(text)}")
        return encoded

    def encode_with_each(
        self, text: str, others: Sequence[str], *, most: int, cut: Cut = "longest_first"
    ) -> Iterator[Any]:
        """Yield the pair of a text and each of others, as `encode` makes it.

        The text, and every other one, is split into tokens once.

        Parameters
        ----------
        text, others : str, sequence of str
            The first of every pair, and the second of each.
        most, cut : int, str
            As `encode` takes them.

        Raises
        ------
        InputError
            As `encode`.
        """
        if not isinstance(text, str):
            raise InputError(f"{reprlib.repr(text)} given: texts are needed")
        first, seconds = self._plain(text), [self._plain_again(other) for other in others]
        for second in seconds:
            with _lock, refusing("the tokenizer fails on", text):
                self._truncate(most, cut)
                encoded = self._tokenizer.post_process(first, second)
            yield encoded

    def length(self, text: str) -> int:
        """Return of how many tokens a text is, without special ones."""
        return len(self._plain(text).ids)

    def cut(self, text: str, most: int) -> str:
        """Return the beginning of a text of more than `most` tokens, special ones not counted."""
        return text[: self._plain(text).offsets[most - 1][1]]

    def first_id(self, text: str) -> int | None:
        """Return the id of a text's first token, None if it has none."""
        ids = self._plain(text).ids
        return ids[0] if ids else None

    def special_count(self, pair: bool) -> int:
        """Return how many special tokens are put around a text, or around two."""
        return int(self._tokenizer.num_special_tokens_to_add(pair))

    def id_of(self, token: str) -> int | None:
        """Return the id of a token, None if the vocabulary lacks it."""
        found: int | None = self._tokenizer.token_to_id(token)
        return found

    def token_of(self, number: int) -> str:
        """Return the token of an id."""
        return str(self._tokenizer.id_to_token(number))

    def join(self, tokens: list[str]) -> str:
        """Return tokens as the text they came from, more or less."""
        decoder = self._tokenizer.decoder
        return str(" ".join(tokens) if decoder is None else decoder.decode(tokens))

    def decode(self, ids: list[int], skip_special: bool = False) -> str:
        """Return ids as a text, with special tokens or without."""
        text = str(self._tokenizer.decode(ids, skip_special_tokens=skip_special))
        if self._facts.clean_up:
            for found, cleaned in _CLEANED:
                text = text.replace(found, cleaned)
        return text

    def _truncate(self, most: int, cut: Cut, stride: int = 0) -> None:
        """Set how long the next encoding may be; under the lock."""
        wanted = {"max_length": most, "stride": stride, "strategy": cut, "direction": "right"}
        if self._tokenizer.truncation != wanted:
            self._tokenizer.enable_truncation(**wanted)

    def _plain(self, text: str) -> Any:
        return _encode_plain(self._tokenizer, text)


def without_threads() -> None:
    """Have the tokenizers of this process and its children start no threads.

    For processes that split one text at a time, and make their tokenizers afterwards: they get a
    faster way.
    """
    os.environ[_THREADS_VARIABLE] = "false"


def _encode_plain(tokenizer: Any, text: str) -> Any:
    """Return the encoding of a whole text, without special tokens.

    Not a method: what keeps its results would hold what it belongs to, in a circle.
    """
    with _lock, refusing("the tokenizer fails on", text):
        tokenizer.no_truncation()
        return tokenizer.encode(text, add_special_tokens=False)
