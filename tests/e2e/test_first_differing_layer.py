"""Two builds that disagree: the error names the layer whose weights differ, and no other."""

from __future__ import annotations

import re

import numpy as np
import pytest
from encoder_builds import build, encoder, prune

from tvm_sparse.bench.check import check_builds
from tvm_sparse.compiler.compile import compile_model
from tvm_sparse.compiler.export import export_artifact
from tvm_sparse.config.compile import CompileSpec
from tvm_sparse.config.sparsity import SparsitySpec
from tvm_sparse.errors import CheckError
from tvm_sparse.runtime.metadata import load_metadata

pytestmark = pytest.mark.e2e

# 16 rows a block are wide: the sparse build takes other token tiles than the dense one.
SPARSE = SparsitySpec(block_shape=(16, 1), sparsity_threshold=0.3)
LAYERS = {
    "encoder/layer_._0/attention/{query,key,value}": (
        "encoder/layer_._0/attention/{query,key,value}/bias.stacked"
    ),
    "encoder/layer_._0/attention/output": "encoder/layer_._0/attention/output/kernel_w.packed.data",
    "encoder/layer_._0/attention/norm": "encoder/layer_._0/attention/norm/gamma",
    "encoder/layer_._1/inner": "encoder/layer_._1/inner/kernel_w.packed.data",
    "pooler": "pooler/bias",
}


class Pair:
    """A dense and a sparse build of the same pruned weights."""

    def __init__(self, batch: int, seq_len: int, cache) -> None:
        model = encoder(2, batch, seq_len, 48)
        mod, original, self.inputs, _ = model
        params = prune(original, SPARSE.block_shape)
        self.dense, self.sparse = (
            build(cache, name, model, params=params, sparsity=SPARSE).directory
            for name in ("dense", "sparse")
        )
        self.compiled = compile_model(mod, params, CompileSpec(), SPARSE)

    def damage(self, name: str, out_dir):
        """The sparse build with one value changed that is not zero."""
        weights = dict(self.compiled.lowered.params)
        damaged = weights[name].copy()
        damaged[tuple(np.argwhere(damaged)[-1])] += 1
        weights[name] = damaged
        metadata = load_metadata(self.sparse)
        return export_artifact(self.compiled.executable, weights, metadata, out_dir)


@pytest.fixture(scope="module", params=[(1, 128), (3, 90)], ids=["1x128", "3x90"])
def pair(request, tmp_path_factory):
    return Pair(*request.param, tmp_path_factory.mktemp("cache"))


def test_builds_of_one_model_agree(pair):
    gaps = check_builds(pair.dense, pair.sparse, pair.inputs, 2, 1e-4, 1e-4)
    assert max(gaps.values()) < 1e-4
    kernels = {call.kernel for call in load_metadata(pair.sparse).calls}
    assert any(kernel.startswith("sparse_dense_48x48_16x1") for kernel in kernels)


@pytest.mark.parametrize("layer", LAYERS)
def test_the_layer_that_was_damaged_is_named(pair, tmp_path, layer):
    damaged = pair.damage(LAYERS[layer], tmp_path / "damaged")
    with pytest.raises(CheckError) as caught:
        check_builds(pair.dense, damaged, pair.inputs, 2, 1e-4, 1e-4)
    message = str(caught.value)
    assert "the sparse build differs from the dense one in" in message
    assert re.findall(r"first differing layer: (\S+) \(", message) == [layer]
    assert "\n" not in message
