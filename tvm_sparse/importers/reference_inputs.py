"""Inputs on which a model and its builds are compared: random ids, with padding."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np


class Input(Protocol):
    """What is read of an input."""

    @property
    def name(self) -> str:
        """As the model calls it."""

    @property
    def shape(self) -> tuple[int, ...]:
        """In numbers."""


def reference_inputs(
    inputs: Iterable[Input], config: dict[str, Any], seed: int
) -> dict[str, np.ndarray]:
    """Return seeded inputs of a model.

    Ids lie within the vocabulary and are never the padding id, except where a row is padded.
    With an `attention_mask`, rows have different lengths, and a single row is padded too. Segment
    ids change to 1 half-way through a row's tokens. Images are standard normal.

    Parameters
    ----------
    inputs : iterable of Input
        Names, shapes and dtypes: ids are (batch, seq_len) int32, images (batch, C, H, W) float32.
    config : dict
        The model's config, for `vocab_size` and `pad_token_id`.
    seed : int
        Seed of all of them.
    """
    rng = np.random.default_rng(seed)
    shapes = {i.name: i.shape for i in inputs}
    if "pixel_values" in shapes:
        return {"pixel_values": rng.standard_normal(shapes["pixel_values"], dtype=np.float32)}
    batch, seq_len = shapes["input_ids"]
    padding_id = int(config.get("pad_token_id") or 0)
    vocab_size = int(config["vocab_size"])
    ids = rng.integers(0, max(vocab_size - 1, 1), (batch, seq_len))
    ids += ids >= padding_id
    lengths = np.full(batch, seq_len)
    if "attention_mask" in shapes:
        kept = np.linspace(1.0, 0.4, batch) if batch > 1 else [0.75]
        lengths = np.array([math.ceil(seq_len * part) for part in kept])
    position = np.arange(seq_len)
    is_token = position < lengths[:, None]
    values = {
        "input_ids": np.where(is_token, ids, padding_id),
        "attention_mask": is_token,
        "token_type_ids": is_token & (position >= lengths[:, None] // 2),
    }
    return {name: values[name].astype(np.int32) for name in shapes}
