"""Which token tiles fit a sequence, and what their last one holds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tvm_sparse.formats.token_layout import TokenLayout, choose_layout, fitting_vectors
from tvm_sparse.target import resolve_target

pytestmark = pytest.mark.unit


@given(seq_len=st.integers(1, 600), vectors=st.integers(1, 4))
def test_registers_with_tokens_cover_a_sequence(seq_len, vectors):
    layout = TokenLayout(1, seq_len, vectors * 16, 16)
    assert 1 <= layout.last_vectors <= vectors
    computed = (layout.tiles_per_sequence - 1) * vectors + layout.last_vectors
    assert computed == -(-seq_len // 16)


@pytest.mark.parametrize(
    ("seq_len", "vectors"), [(16, 1), (48, 3), (70, 3), (112, 4), (128, 4), (144, 3), (197, 4)]
)
def test_a_wide_tile_may_leave_a_part_of_the_last_one_over(seq_len, vectors):
    target = resolve_target("x86-64-v4")
    assert fitting_vectors(seq_len, target)[0] == vectors
    assert choose_layout(1, seq_len, target).vectors == vectors


@given(seq_len=st.integers(1, 600), isa=st.sampled_from(["x86-64-v3", "x86-64-v4", "aarch64"]))
def test_there_is_a_tile_for_every_length(seq_len, isa):
    assert 1 in fitting_vectors(seq_len, resolve_target(isa))
