"""Specs: what follows from what was asked for."""

from __future__ import annotations

import pytest

from tvm_sparse.config import CompileSpec, ModelSpec, parse_block_shape, parse_block_shapes
from tvm_sparse.errors import ConfigError

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
def test_a_micro_batch_gives_every_core_some_tokens(batch, seq_len, cores, expected):
    spec = ModelSpec("bert-tiny", batch=batch, seq_len=seq_len)
    assert spec.for_cores(cores).micro_batch == expected


def test_a_micro_batch_that_was_decided_stays():
    spec = ModelSpec("bert-tiny", batch=8, micro_batch=2)
    assert spec.for_cores(64) == spec


@pytest.mark.parametrize("size", [0, 3, 16, -2])
def test_a_micro_batch_divides_the_batch(size):
    with pytest.raises(ConfigError, match=f"micro-batch {size} given: it must divide the batch, 8"):
        ModelSpec("bert-tiny", batch=8, micro_batch=size)


def test_threads_are_any_number_another_machine_may_have():
    assert CompileSpec("aarch64", threads=4096).threads == 4096
    with pytest.raises(ConfigError, match="threads 0 given: it must be at least 1"):
        CompileSpec(threads=0)


def test_block_shapes_are_a_list_with_commas():
    assert parse_block_shapes("4x1, 16X2,") == ((4, 1), (16, 2))


@pytest.mark.parametrize(
    "text", ["4", "x1", "4x", "0x1", "ax1", "4x1x1", "-4x1", "", "²x1", "9" * 5000 + "x1"]
)
def test_what_is_no_block_shape_is_refused(text):
    with pytest.raises(ConfigError, match="write rows x columns"):
        parse_block_shape(text)
