"""Calibration text as inputs of the model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.errors import ConfigError
from tvm_sparse.pruning.report import CalibrationFacts
from tvm_sparse.text.texts import read_texts, take_evenly
from tvm_sparse.text.tokens import Tokens, load_tokenizer

BUILT_IN = "built-in text"
_BUILT_IN_FILE = "calibration.txt"


@dataclass(frozen=True)
class Calibration:
    """Passages as ids, from a file, the built-in text, or at random."""

    tokens: Tokens
    source: str

    def batches(
        self, names: Sequence[str], batch: int
    ) -> Iterator[tuple[dict[str, NDArray[Any]], NDArray[np.bool_]]]:
        """Yield the inputs of one run after the other, and which of their tokens count.

        The inputs are int32 (batch, seq_len) each, the tokens bool (batch, seq_len): neither
        padding nor a row that only fills the batch up counts.
        """
        masked = "attention_mask" in names
        start = 0
        for arrays, rows in self.tokens.batches(names, batch):
            mask = self.tokens.arrays["attention_mask"][start : start + rows] > 0
            counts = np.zeros(arrays["input_ids"].shape, np.bool_)
            # Without a mask the model looks at the padding as well: then it counts, too.
            counts[:rows] = mask if masked else True
            yield arrays, counts
            start += rows

    @property
    def facts(self) -> CalibrationFacts:
        """What a report says of them."""
        return CalibrationFacts(
            source=self.source,
            passages=len(self.tokens),
            truncated=self.tokens.truncated,
            seq_len=self.tokens.arrays["input_ids"].shape[1],
            tokens=int(self.tokens.arrays["attention_mask"].sum()),
        )


def load_calibration(
    directory: str | None, text: str | None, samples: int, seq_len: int, vocab_size: int | None
) -> Calibration:
    """Read calibration text and turn it into ids by the tokenizer in the model's directory.

    `text` is a file with one passage a line; without it the built-in text is taken. At most so many
    samples are used, evenly from the whole file; what is longer than `seq_len` tokens is cut.

    Raises
    ------
    ConfigError
        There is no directory to take a tokenizer from.
    InputError
        The text or the tokenizer cannot be used.
    """
    if directory is None:
        raise ConfigError("calibration text needs a checkpoint with a tokenizer: there is none")
    texts = take_evenly(read_texts(text) if text is not None else built_in_texts(), samples)
    tokens = load_tokenizer(directory).encode(texts, seq_len, vocab_size)
    return Calibration(tokens, text if text is not None else BUILT_IN)


def built_in_texts() -> list[str]:
    """Return the passages that come with this package: a small sample of everyday English."""
    return read_texts(str(files("tvm_sparse.pruning") / _BUILT_IN_FILE))


def random_calibration(seed: int, samples: int, seq_len: int, vocab_size: int) -> Calibration:
    """Return seeded ids without padding, for models whose weights are random anyway."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, vocab_size, (samples, seq_len)).astype(np.int32)
    arrays = {
        "input_ids": ids,
        "attention_mask": np.ones_like(ids),
        "token_type_ids": np.zeros_like(ids),
    }
    return Calibration(Tokens(arrays, 0), "random ids")
