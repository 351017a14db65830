"""The weight of a layer, however it is stored."""

from __future__ import annotations

import numpy as np
import pytest

from tvm_sparse.errors import SparsityError
from tvm_sparse.model.layer import Layer

pytestmark = pytest.mark.unit


def test_load_turns_a_stored_weight():
    stored = np.arange(12, dtype=np.float32).reshape(4, 3)
    kn = Layer("w", (3, 4), "KN")
    nk = Layer("w.T", (3, 4), "NK")
    np.testing.assert_array_equal(kn.load({"w": stored}), stored.T)
    np.testing.assert_array_equal(nk.load({"w.T": stored.T}), stored.T)
    assert kn.to_stored(stored.T).flags.c_contiguous
    np.testing.assert_array_equal(kn.to_stored(kn.load({"w": stored})), stored)
    assert nk.canonical_name == kn.canonical_name == "w"


def test_load_refuses_a_missing_or_foreign_array():
    with pytest.raises(SparsityError, match="no array given for weight w"):
        Layer("w", (3, 4)).load({})
    with pytest.raises(SparsityError, match=r"shape \(3, 4\) given for weight w: shape \(4, 3\)"):
        Layer("w", (3, 4)).load({"w": np.ones((3, 4))})
