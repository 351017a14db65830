"""Quads: four columns of a row of blocks, wherever they lie, that make words together.

Words hold four consecutive inputs. Of a block that is narrower, three quarters of them would be
multiplied by zero; but a kernel can put words together in registers, each byte from another one.
The inputs of a quad are a first, a second, a third and a fourth one of their words, for no byte to
move. So a row has as many quads as columns of that quarter of which it has most.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.formats.quantized import WORD


def form_quads(
    data: NDArray[Any],
    indices: NDArray[np.int32],
    indptr: NDArray[np.int32],
    panel_starts: NDArray[Any],
) -> tuple[NDArray[Any], NDArray[np.int32], NDArray[np.int32]]:
    """Form the quads of a BSR triple.

    Parameters
    ----------
    data, indices, indptr : numpy.ndarray
        Blocks (nnzb, bs_r, bs_c), int32 (nnzb,), int32 (num_block_rows + 1,).
    panel_starts : numpy.ndarray
        The first word of each panel: a quad lies in one.

    Returns
    -------
    data : numpy.ndarray
        (quads, bs_r, 4), zero where a quad has no column.
    words : numpy.ndarray
        int32 (quads, 4), the word that each input is in.
    indptr : numpy.ndarray
        int32 (num_block_rows + 1,). Quads of a row come panel by panel.
    """
    _, bs_r, bs_c = data.shape
    columns = (indices[:, None] * bs_c + np.arange(bs_c)).ravel()
    word, place = np.divmod(columns, WORD)
    panels = len(panel_starts)
    row_of = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr) * bs_c)
    owner = row_of * panels + np.searchsorted(panel_starts, word, side="right") - 1
    key = owner * WORD + place
    counts = np.bincount(key, minlength=(len(indptr) - 1) * panels * WORD)
    order = np.argsort(key, kind="stable")
    rank = np.empty(len(key), np.int64)
    rank[order] = np.arange(len(key)) - (np.cumsum(counts) - counts)[key[order]]
    quads_of = counts.reshape(-1, WORD).max(axis=1)
    quad = (np.cumsum(quads_of) - quads_of)[owner] + rank
    formed = np.zeros((int(quads_of.sum()), bs_r, WORD), data.dtype)
    formed[quad, :, place] = data.transpose(0, 2, 1).reshape(-1, bs_r)
    words = np.full((len(formed), WORD), -1, np.int32)
    words[quad, place] = word
    # What is multiplied by zero may be any word of the panel.
    words = np.where(words < 0, words.max(axis=1, keepdims=True, initial=-1), words)
    ends = quads_of.reshape(-1, panels).sum(axis=1).cumsum()
    return formed, words, np.concatenate([[0], ends]).astype(np.int32)
