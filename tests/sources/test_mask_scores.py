"""Movement pruning before it is made permanent: scores beside weights."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tvm_sparse.errors import CheckpointError
from tvm_sparse.sources.mask_scores import apply_mask_scores, option_files
from tvm_sparse.sources.weight import Weight

pytestmark = pytest.mark.unit

QUERY, INNER = "layer.0.attention.self.query", "layer.0.intermediate.dense"
VALUES = np.arange(1, 9, dtype=np.float32).reshape(2, 4)
SCORES = np.array([[3, -1, 0, 4], [-2, 1, -3, 2]], np.float32)
BLOCKS = "mask_module.context_modules"


def apply(directory, tensors, config=None, options=None):
    if options is not None:
        (directory / "sparse_args.json").write_text(json.dumps(options))
    weights = {
        name: Weight(name, value.shape, lambda value=value: value)
        for name, value in tensors.items()
    }
    found = apply_mask_scores(weights, directory, config or {})
    return {name: weight.read() for name, weight in found.items()}


def masked(directory, **settings) -> np.ndarray:
    """Which of a query's weights movement-pruning's classes would count."""
    tensors = {f"{QUERY}.weight": VALUES, f"{QUERY}.mask_scores": SCORES, "bias": VALUES[0]}
    found = apply(directory, tensors, **settings)
    assert sorted(found) == ["bias", f"{QUERY}.weight"]
    return found[f"{QUERY}.weight"] / VALUES


@pytest.mark.parametrize(
    ("method", "threshold", "expected"),
    [
        (None, 0.5, [[1, 0, 0, 1], [0, 1, 0, 1]]),
        ("topK", 0.25, [[1, 0, 0, 1], [0, 0, 0, 0]]),
        ("threshold", 1.5, [[1, 0, 0, 1], [0, 0, 0, 1]]),
        ("sigmoied_threshold", 0.7, [[1, 0, 0, 1], [0, 1, 0, 1]]),
        # At least half a percent stays: here, as in its class, what is above the second highest.
        ("threshold", 9.0, [[0, 0, 0, 1], [0, 0, 0, 0]]),
    ],
)
def test_methods_of_movement_pruning(tmp_path, method, threshold, expected):
    config = {"final_threshold": threshold, "pruning_method": method}
    np.testing.assert_array_equal(masked(tmp_path, config=config), expected)
    options = {"final_threshold": threshold}
    np.testing.assert_array_equal(
        masked(tmp_path, config={"pruning_method": method}, options=options), expected
    )
    assert option_files(tmp_path) == (tmp_path / "sparse_args.json",)


def test_l0_scales_weights_and_needs_no_threshold(tmp_path):
    expected = np.clip(1.2 / (1 + np.exp(-SCORES)) - 0.1, 0, 1)
    found = masked(tmp_path, config={"pruning_method": "l0"})
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_blocks_of_nn_pruning_with_their_biases(tmp_path):
    weight, bias = np.ones((4, 4), np.float32), np.ones(4, np.float32)
    scores = np.array([[2.0, 1.0], [-3.0, -4.0]], np.float32)
    tensors = {
        f"{QUERY}.weight": weight,
        f"{QUERY}.bias": bias,
        f"{QUERY}.{BLOCKS}.0.mask_scores": scores,
        f"{INNER}.weight": weight,
        f"{INNER}.{BLOCKS}.0.mask_scores": np.array([0.0, 1, 0, 1], np.float32),
        f"{INNER}.{BLOCKS}.1.mask_scores": np.array([1.0, 0], np.float32),
    }
    options = {
        "final_threshold": 0.5,
        "attention_pruning_method": "topK",
        "dense_pruning_method": "threshold:1d_alt",
        "bias_mask": True,
    }
    found = apply(tmp_path, tensors, options=options)
    rows = np.array([1, 1, 0, 0], np.float32)
    np.testing.assert_array_equal(found[f"{QUERY}.weight"], np.outer(rows, np.ones(4)))
    np.testing.assert_array_equal(found[f"{QUERY}.bias"], rows)
    np.testing.assert_array_equal(found[f"{INNER}.weight"], np.outer([0, 1, 0, 1], [1, 1, 0, 0]))
    # Without columns of their own, all count.
    del tensors[f"{INNER}.{BLOCKS}.1.mask_scores"]
    found = apply(tmp_path, tensors, options={**options, "bias_mask": False})
    np.testing.assert_array_equal(found[f"{INNER}.weight"], np.outer([0, 1, 0, 1], np.ones(4)))
    np.testing.assert_array_equal(found[f"{QUERY}.bias"], bias)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, r"no file says the threshold.*final_threshold"),
        ({"config": {"pruning_method": "annealing"}}, "by the method annealing"),
        ({"options": {"ampere_pruning_method": "annealing"}}, "ampere_pruning_method"),
        ({"options": {"layer_norm_patch": True}}, "layer_norm_patch"),
        ({"options": {"final_threshold": "x"}}, "final_threshold"),
    ],
)
def test_what_cannot_be_known_is_refused(tmp_path, settings, message):
    with pytest.raises(CheckpointError, match=message):
        masked(tmp_path, **settings)


def test_scores_that_do_not_divide_their_weight(tmp_path):
    tensors = {f"{QUERY}.weight": VALUES, f"{QUERY}.mask_scores": SCORES[:, :3]}
    with pytest.raises(CheckpointError, match="they do not divide it"):
        apply(tmp_path, tensors, config={"final_threshold": 0.5})
    with pytest.raises(CheckpointError, match=f"mask_scores of {QUERY} and no weight"):
        apply(tmp_path, {f"{QUERY}.mask_scores": SCORES})
