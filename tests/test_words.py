from __future__ import annotations

import pytest

from tvm_sparse.words import counted

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [
        (1, "build", "1 build"),
        (0, "build", "0 builds"),
        (2, "block shape", "2 block shapes"),
        (1, "entry", "1 entry"),
        (12, "sparsity", "12 sparsities"),
    ],
)
def test_one_is_no_plural(number, noun, text) -> None:
    assert counted(number, noun) == text
