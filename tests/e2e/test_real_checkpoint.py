"""A real checkpoint the whole way: imported, pruned, compiled; its embeddings are TensorFlow's."""

from __future__ import annotations

import numpy as np
import pytest

import tvm_sparse
from tvm_sparse.api.builds import Builds
from tvm_sparse.model.model import Model

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

BLOCK = (4, 1)
THRESHOLD = 0.5  # which times no kernels, and has every layer of the encoder run sparse
SPARSITY = 0.8
SHAPE = {"batch": 2, "seq_len": 24, "weights": "checkpoint"}


def sentence_embeddings(hidden: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Mean over the real tokens, to unit length: how the model is meant to be used."""
    weights = mask[..., None].astype(np.float64)
    pooled = (hidden * weights).sum(1) / weights.sum(1)
    return pooled / np.linalg.norm(pooled, axis=-1, keepdims=True)


def compare_with_tensorflow(model: Model, build: str, builds: Builds) -> None:
    outputs = tvm_sparse.load(builds.directories[build]).run(**model.reference.inputs)
    mask = model.reference.inputs["attention_mask"]
    assert mask.min() == 0  # there is padding, or the mask proves nothing
    wanted = sentence_embeddings(model.reference.outputs["last_hidden_state"], mask)
    found = sentence_embeddings(outputs["last_hidden_state"], mask)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def cache_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def test_magnitude_pruned_in_memory(minilm_dir, cache_dir):
    model = tvm_sparse.load_model(str(minilm_dir), cache_dir=cache_dir, **SHAPE)
    assert model.facts.weights.kind == "checkpoint"
    fields = {"sparsity": SPARSITY, "block_shape": BLOCK, "sparsity_threshold": THRESHOLD}
    pruned = tvm_sparse.sparsify(model, prune="magnitude", **fields)
    builds = tvm_sparse.compile(pruned)
    assert builds.check["dense_against_tensorflow"]["last_hidden_state"] < 1e-4
    assert builds.check["sparse_against_dense"]["last_hidden_state"] < 1e-4


def test_pruned_written_and_imported_again(minilm_dir, cache_dir, tmp_path):
    """TensorFlow runs the pruned weights too: the sparse build is compared with it directly."""
    original = tvm_sparse.load_model(str(minilm_dir), cache_dir=cache_dir, **SHAPE)
    result = tvm_sparse.prune(original, method="magnitude", sparsity=SPARSITY, block_shape=BLOCK)
    directory = tmp_path / "pruned"
    result.save(directory)
    model = tvm_sparse.load_model(str(directory), cache_dir=cache_dir, **SHAPE)
    sparse = tvm_sparse.sparsify(model, block_shape=BLOCK, sparsity_threshold=THRESHOLD)
    assert sparse.sparsity is not None
    assert sparse.sparsity.prune == "none"  # it came with its zeros
    builds = tvm_sparse.compile(sparse)
    for build in ("dense", "sparse"):
        compare_with_tensorflow(model, build, builds)
