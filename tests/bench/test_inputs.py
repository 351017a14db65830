from __future__ import annotations

import numpy as np
import pytest
from tiny_artifact import tiny_metadata

from tvm_sparse.bench.inputs import random_inputs
from tvm_sparse.errors import ConfigError
from tvm_sparse.model.facts import TensorSpec

pytestmark = pytest.mark.unit

TEXT = tuple(
    TensorSpec(name, (3, 50), "int32", below)
    for name, below in (("input_ids", 7), ("attention_mask", None), ("token_type_ids", 2))
)


def metadata(inputs):
    return tiny_metadata(inputs=inputs)


def test_ids_are_in_range_and_nothing_is_padded() -> None:
    inputs = random_inputs(metadata(TEXT))
    assert list(inputs) == ["input_ids", "attention_mask", "token_type_ids"]
    assert all(v.shape == (3, 50) and v.dtype == np.int32 for v in inputs.values())
    assert set(np.unique(inputs["input_ids"])) == set(range(7))
    assert (inputs["attention_mask"] == 1).all()
    assert set(np.unique(inputs["token_type_ids"])) == {0, 1}


def test_images_are_standard_normal() -> None:
    spec = TensorSpec("pixel_values", (2, 3, 32, 32), "float32")
    (values,) = random_inputs(metadata((spec,))).values()
    assert (values.shape, values.dtype) == (spec.shape, np.float32)
    assert abs(values.mean()) < 0.1
    assert 0.9 < values.std() < 1.1


def test_seed_decides() -> None:
    text = metadata(TEXT)
    first, again, other = (random_inputs(text, seed)["input_ids"] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    with pytest.raises(ConfigError, match="seed -1 given"):
        random_inputs(text, -1)


def test_inputs_nobody_knows_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"what values labels int64\[1\] takes"):
        random_inputs(metadata((TensorSpec("labels", (1,), "int64"),)))
