"""On how many tokens a run computes: on whole tiles, or on whole batches of one shape."""

from __future__ import annotations

import pytest

from tvm_sparse.model.facts import TensorSpec
from tvm_sparse.runtime.fixed_shape import FixedShape
from tvm_sparse.runtime.open_shapes import OpenShapes

pytestmark = pytest.mark.unit

IDS = (TensorSpec("input_ids", (2, 24), "int32", 9, ("batch", "seq_len")),)


def test_tiles_and_rectangles() -> None:
    tiles = OpenShapes(IDS, (), 0, True, 16, 1, "")
    assert tiles.computed_tokens([1, 16, 17]) == 16 + 16 + 32
    rectangle = FixedShape(IDS, (), 0, True)
    assert rectangle.computed_tokens([1, 16, 17]) == 2 * 2 * 24
    assert rectangle.computed_tokens([]) == tiles.computed_tokens([]) == 0
