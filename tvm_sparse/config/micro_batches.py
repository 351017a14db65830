"""How a batch is cut so that activations stay in caches, and the text that figures are for."""

from __future__ import annotations

#: Tokens of the text that figures of an open model are for, if it takes as many.
NOMINAL_SEQ_LEN = 128
#: Tokens that a micro-batch has for each core, at least.
MICRO_BATCH_TOKENS = 192
#: Each is a copy of the model's program.
_MOST_MICRO_BATCHES = 16


def nominal_length(most: int) -> int:
    """Return the tokens of the text that figures of a model are for which takes up to `most`."""
    return min(most, NOMINAL_SEQ_LEN)


def choose_micro_batch(batch: int, seq_len: int, cores: int) -> int:
    """Return how many sequences should go through a model together.

    As few as give every core some token tiles: their activations then stay in its caches from one
    layer to the next.

    Parameters
    ----------
    batch : int
        Sequences of an inference.
    seq_len : int
        Tokens of a sequence.
    cores : int
        Cores of the machine the model is to run on.

    Returns
    -------
    int
        A divisor of `batch`.
    """
    least = max(MICRO_BATCH_TOKENS * cores / seq_len, batch / _MOST_MICRO_BATCHES)
    sizes = (batch // n for n in range(_MOST_MICRO_BATCHES, 0, -1) if batch % n == 0)
    return next(size for size in sizes if size >= least or size == batch)
