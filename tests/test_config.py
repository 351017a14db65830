"""Specs: what follows from what was asked for."""

from __future__ import annotations

import pytest

from tvm_sparse.config.compile import CompileSpec
from tvm_sparse.config.model import ModelSpec
from tvm_sparse.errors import ConfigError
from tvm_sparse.sizes import (
    Extent,
    parse_block_shape,
    parse_block_shapes,
    parse_extent,
    parse_shapes,
)

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


@pytest.mark.parametrize(
    ("text", "extent"),
    [("128", Extent(128)), ("1:512", Extent(512, True)), (":512", Extent(512, True))],
)
def test_extents(text, extent):
    assert parse_extent("seq-len", text) == extent
    assert parse_extent("seq-len", str(extent)) == extent


@pytest.mark.parametrize("text", ["", "16:512", "0:4", "1:", "1:2:3", "1-4", "a", "1.5", "-3"])
def test_what_is_no_extent(text):
    with pytest.raises(ConfigError, match=r"^seq-len '.*' given: write a number, or a range from"):
        parse_extent("seq-len", text)


def test_shapes():
    assert parse_shapes("1x16, 8X384") == ((1, 16), (8, 384))
    for wrong in ("", "1x16,", "16", "1x0", "axb"):
        with pytest.raises(ConfigError, match=r"given: write sequences x tokens, for example 1x16"):
            parse_shapes(wrong)
    ModelSpec("m", batch=8, seq_len=64, is_open=True).check_shapes([(8, 64), (1, 1)])
    ModelSpec("m", batch=8, seq_len=64).check_shapes([(8, 64)])
    for is_open, shape, said in ((True, (9, 1), "up to 8x64"), (False, (1, 64), "8x64")):
        with pytest.raises(ConfigError, match=f"^shape {shape[0]}x{shape[1]} given: .* {said}$"):
            ModelSpec("m", batch=8, seq_len=64, is_open=is_open).check_shapes([shape])
    with pytest.raises(ConfigError, match=r"^tuning needs one shape: give --batch and --seq-len"):
        ModelSpec("m", is_open=True).check_fixed("tuning")
