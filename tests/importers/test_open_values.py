"""What follows from shapes alone, found from a few of them."""

from __future__ import annotations

import numpy as np
import pytest

from tvm_sparse.errors import FrontendError
from tvm_sparse.importers.onnx.prepare.open_values import find_open_values

pytestmark = pytest.mark.unit


def values_at(batch: int, length: int) -> dict[str, np.ndarray]:
    position = np.arange(length)
    return {
        "same": np.float32([1, 2]),
        "shape": np.array([batch, 1, 2 * length, batch * length - 3]),
        "single": np.array(length + 1),
        "mask": np.broadcast_to(position <= position[:, None], (batch, 1, length, length)),
    }


def test_numbers_extents_and_positions_are_told_apart():
    found = find_open_values(values_at, (8, 40), "model")
    assert found.fixed.keys() == {"same"}
    assert found.extents == {
        "shape": [(0, 1, 0, 0), (1, 0, 0, 0), (0, 0, 2, 0), (-3, 0, 0, 1)],
        "single": [(1, 0, 1, 0)],
    }
    assert found.singles == ["single"]
    array, shape = found.positions["mask"]
    assert array.shape == (1, 1, 40, 40)
    assert shape == [(0, 1, 0, 0), (1, 0, 0, 0), (0, 0, 1, 0), (0, 0, 1, 0)]


@pytest.mark.parametrize(
    ("limits", "extents", "mask"),
    [
        ((1, 40), [(0, 1, 0, 0), (1, 0, 0, 0), (0, 0, 2, 0), (-3, 0, 0, 1)], (1, 1, 40, 40)),
        ((2, 2), [(0, 1, 0, 0), (1, 0, 0, 0), (0, 0, 2, 0), (-3, 0, 0, 1)], (1, 1, 2, 2)),
        ((8, 1), [(0, 1, 0, 0), (1, 0, 0, 0), (2, 0, 0, 0), (-3, 1, 0, 0)], (1, 1, 1, 1)),
    ],
)
def test_limits_that_are_small_or_one(limits, extents, mask):
    found = find_open_values(values_at, limits, "model")
    assert found.extents["shape"] == extents
    assert found.positions["mask"][0].shape == mask


@pytest.mark.parametrize(
    "value",
    [
        lambda batch, length: np.array([length**2]),
        lambda batch, length: np.array([max(length, 6)]),
        lambda batch, length: np.arange(length)[::-1],
        lambda batch, length: np.float32(length) * np.ones(3, np.float32),
    ],
)
def test_what_is_neither_is_named(value):
    with pytest.raises(FrontendError, match="the value odd follows from the batch or the length"):
        find_open_values(lambda *at: {"odd": value(*at)}, (8, 40), "model")
