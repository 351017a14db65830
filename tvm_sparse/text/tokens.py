"""Turn texts into a model's inputs, by the tokenizer that lies beside its weights."""

from __future__ import annotations

import os
import reprlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.errors import InputError
from tvm_sparse.text.texts import PAIR_SEPARATOR
from tvm_sparse.text.word_pieces import VOCABULARY_FILE, load_word_pieces

TOKENIZER_FILE = "tokenizer.json"
_MOST = 1 << 31  # what a model takes are 32-bit integers
_PADDING_TOKENS = ("[PAD]", "<pad>")

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Tokens:
    """Texts as ids.

    Attributes
    ----------
    arrays : dict of str to ndarray
        `input_ids`, `attention_mask` and `token_type_ids`, int32 (texts, seq_len), padded.
    truncated : int
        How many texts were longer than `seq_len` tokens.
    texts : tuple of str
        The texts; empty if the ids come from none.
    offsets : ndarray of int32
        (texts, seq_len, 3): which text of a pair (0, 1, or -1 for a special token) a token is
        from, and its first and last + 1 character there.
    """

    arrays: Arrays
    truncated: int = 0
    texts: tuple[str, ...] = ()
    offsets: NDArray[np.int32] = field(default_factory=lambda: np.empty((0, 0, 3), np.int32))

    def __len__(self) -> int:
        return len(self.arrays["input_ids"])

    def batches(self, names: Sequence[str], batch: int) -> Iterator[tuple[Arrays, int]]:
        """Yield the inputs of one run after the other, and how many of its rows are texts.

        Every run has `batch` rows of the inputs `names`; the last one is filled up with its last
        text.

        Raises
        ------
        InputError
            The model takes something that is no text.
        """
        unknown = [name for name in names if name not in self.arrays]
        if unknown:
            raise InputError(f"the model takes {', '.join(unknown)}: give a model of texts")
        for start in range(0, len(self), batch):
            rows = np.minimum(np.arange(start, start + batch), len(self) - 1)
            yield {name: self.arrays[name][rows] for name in names}, min(batch, len(self) - start)

    def words(self, row: int, first: int, last: int) -> str:
        """Return the characters between two tokens of a text, empty if they are not of one."""
        part, begin, _ = map(int, self.offsets[row, first])
        other, _, end = map(int, self.offsets[row, last])
        if part < 0 or part != other:
            return ""
        return self.texts[row].split(PAIR_SEPARATOR, 1)[part][begin:end]


class TextTokenizer:
    """A model's own tokenizer, without padding and truncation; made by `load_tokenizer`."""

    def __init__(self, tokenizer: Any, pad_id: int) -> None:
        self._tokenizer, self.pad_id = tokenizer, pad_id

    def encode(self, texts: Sequence[str], seq_len: int, vocab_size: int | None = None) -> Tokens:
        """Return texts as padded ids, `seq_len` a row; what is longer is cut.

        A tab separates the two texts of a pair.

        Raises
        ------
        InputError
            An id is beyond the model's vocabulary, `seq_len` leaves no room for words, or the
            tokenizer makes nothing of a text.
        """
        needed = self._tokenizer.num_special_tokens_to_add(True) + 2
        if seq_len < needed:
            raise InputError(f"seq-len {seq_len} given: texts need {needed} tokens or more")
        self._tokenizer.enable_truncation(max_length=seq_len)
        # One text at a time: the tokenizer's threads would get in the way of later forks.
        encoded = [self._encode(text) for text in texts]
        # Wider than what is returned: a file may give its tokens any number.
        ids = np.full((len(texts), seq_len), self.pad_id, np.int64)
        mask, types = np.zeros_like(ids), np.zeros_like(ids)
        offsets = np.full((*ids.shape, 3), -1, np.int32)
        for row, one in enumerate(encoded):
            length = len(one.ids)
            ids[row, :length], types[row, :length], mask[row, :length] = one.ids, one.type_ids, 1
            offsets[row, :length, 0] = [-1 if part is None else part for part in one.sequence_ids]
            offsets[row, :length, 1:] = one.offsets
        for what, values, most in (("id", ids, vocab_size or _MOST), ("type", types, _MOST)):
            if values.size and values.max() >= most:
                raise InputError(
                    f"the tokenizer gives {what} {values.max()}, the model has a vocabulary of "
                    f"{most}: the two do not belong together"
                )
        truncated = sum(bool(one.overflowing) for one in encoded)
        named = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
        arrays: Arrays = {name: values.astype(np.int32) for name, values in named.items()}
        return Tokens(arrays, truncated, tuple(texts), offsets)

    def _encode(self, text: str) -> Any:
        first, separator, second = text.partition(PAIR_SEPARATOR)
        with refusing("the tokenizer fails on a text"):
            encoded = self._tokenizer.encode(first, second if separator else None)
        if not encoded.ids:
            raise InputError(f"the tokenizer makes no tokens of {reprlib.repr(text)}")
        return encoded


def load_tokenizer(directory: str | os.PathLike[str]) -> TextTokenizer:
    """Load the tokenizer of a model's directory: `tokenizer.json`, or BERT's `vocab.txt`.

    Raises
    ------
    InputError
        There is none, or it is damaged.
    """
    tokenizer = read_tokenizer(Path(directory))
    found = (tokenizer.token_to_id(token) for token in _PADDING_TOKENS)
    return TextTokenizer(tokenizer, next((i for i in found if i is not None), 0))


def has_tokenizer(folder: Path) -> bool:
    """Tell whether a model's directory holds a tokenizer that is read."""
    return any((folder / name).is_file() for name in (TOKENIZER_FILE, VOCABULARY_FILE))


def read_tokenizer(folder: Path) -> Any:
    """Return the `tokenizers.Tokenizer` of a model's directory, without padding and truncation.

    Raises
    ------
    InputError
        As `load_tokenizer`.
    """
    file = folder / TOKENIZER_FILE
    with refusing(f"the tokenizer in {folder} cannot be read"):
        if file.is_file():
            from tokenizers import Tokenizer

            tokenizer = Tokenizer.from_file(str(file))
            tokenizer.no_padding()
            tokenizer.no_truncation()
            return tokenizer
        if has_tokenizer(folder):
            return load_word_pieces(folder)
    raise InputError(
        f"{folder} has no tokenizer: {TOKENIZER_FILE} or {VOCABULARY_FILE} is needed "
        "beside the model (`evaluate --tokenizer` names another directory)"
    )


@contextmanager
def refusing(what: str, text: str | None = None) -> Iterator[None]:
    """Turn whatever the library raises into one line, with a text shortened, if one is given."""
    try:
        yield
    except (InputError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # plain Exception, and panics of Rust, which are not even that
        shown = "" if text is None else f" {reprlib.repr(text)}"
        raise InputError(f"{what}{shown}: {' '.join(str(error).split())[:200]}") from None
