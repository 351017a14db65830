"""What a kernel takes together covers its work."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tvm_sparse.kernels.tiling import chunk_size, row_chunks

pytestmark = pytest.mark.unit


@given(block_rows=st.integers(1, 70), most=st.integers(1, 30))
def test_row_chunks_cover_a_block_evenly(block_rows, most):
    chunks = row_chunks(block_rows, most)
    assert [row for start, count in chunks for row in range(start, start + count)] == list(
        range(block_rows)
    )
    assert max(count for _, count in chunks) <= most
    assert len(chunks) == -(-block_rows // most)


@given(rows=st.integers(1, 5000))
def test_chunks_cover_the_rows_and_are_few(rows):
    size = chunk_size(rows)
    assert 1 <= size <= rows
    assert -(-rows // size) <= 32
