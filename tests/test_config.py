"""Specs: what follows from what was asked for."""

from __future__ import annotations

import pytest

from tvm_sparse.config import micro_batch

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("batch", "seq_len", "cores", "expected"),
    [
        (1, 128, 2, 1),
        (8, 384, 2, 1),
        (8, 128, 2, 4),
        (6, 128, 2, 3),
        (7, 128, 2, 7),  # no divisor between
        (8, 384, 64, 8),
        (64, 512, 1, 4),  # no more than sixteen copies of the program
    ],
)
def test_a_micro_batch_gives_every_core_some_tokens(monkeypatch, batch, seq_len, cores, expected):
    monkeypatch.setattr("tvm_sparse.config.available_cores", lambda: cores)
    assert micro_batch(batch, seq_len) == expected
