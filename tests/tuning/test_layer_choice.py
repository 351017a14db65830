"""Which layers run sparse, by their times on this machine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from made_models import make_model
from placed_layers import placed

from tvm_sparse.cache.store import Cache
from tvm_sparse.config.compile import CompileSpec
from tvm_sparse.config.model import ModelSpec
from tvm_sparse.config.sparsity import SparsitySpec
from tvm_sparse.errors import ConfigError
from tvm_sparse.model.layer import Layer
from tvm_sparse.sparsity.patterns import fill_random
from tvm_sparse.tuning.layer_choice import choose_layers
from tvm_sparse.tuning.records import Records

pytestmark = pytest.mark.numeric

TOKENS = 64
SIZE = 256
SPARSE = "bert/encoder/layer_._0/attention/self/query/kernel"
SIBLING = "bert/encoder/layer_._0/attention/self/key/kernel"
DENSE = "bert/encoder/layer_._0/attention/output/dense/kernel"
POOLER = "bert/pooler/dense/kernel"


def layers_and_weights() -> tuple[list[Layer], dict[str, np.ndarray]]:
    """Two layers with hardly a weight, one with all of them, and a head."""
    sparsities = {SPARSE: 0.98, SIBLING: 0.96, DENSE: 0.0, POOLER: 0.98}
    rng = np.random.default_rng(0)
    flops = 2 * TOKENS * SIZE * SIZE
    layers = placed(Layer(name, (SIZE, SIZE), "NK", flops=flops) for name in sparsities)
    full = rng.standard_normal((SIZE, SIZE)).astype(np.float32)
    return layers, {
        name: fill_random(full, (1, 1), share, rng) for name, share in sparsities.items()
    }


def choose(cache_dir, progress=lambda line: None, target="native", **sparsity):
    layers, params = layers_and_weights()
    spec = ModelSpec("bert-base", seq_len=TOKENS)
    return choose_layers(
        replace(make_model(params, layers, spec=spec), sparsity=SparsitySpec(**sparsity)),
        CompileSpec(target=target, threads=1),
        Records(Cache(cache_dir)),
        progress,
    )


@pytest.mark.parametrize(
    ("method", "word"), [("auto", "predicted"), ("model", "predicted"), ("measure", "measured")]
)
def test_times_decide(method, word, cache_dir):
    choices = choose(cache_dir, select=method)
    assert {name: choice.sparse for name, choice in choices.items()} == {
        SPARSE: True,
        SIBLING: True,
        DENSE: False,
    }
    assert choices[SPARSE].reason.startswith(word)
    assert choices[SPARSE].reason.endswith("for 2 layers together, at block sparsity 0.98")
    assert choices[SIBLING].reason.endswith("for 2 layers together, at block sparsity 0.96")
    assert choices[DENSE].reason.endswith("ms dense, at block sparsity 0")
    # Nothing is timed a second time.
    said: list[str] = []
    assert choose(cache_dir, said.append, select=method) == choices
    assert not [line for line in said if "kernels" in line]


@pytest.mark.parametrize("fields", [{"select": "threshold"}, {"sparsity_threshold": 0.3}])
def test_the_threshold_times_nothing(fields, cache_dir):
    assert choose(cache_dir, **fields) == {}
    assert not list(cache_dir.rglob("*.json"))


def test_another_machine_cannot_be_timed(cache_dir):
    assert choose(cache_dir, target="x86-64-v2") == {}
    with pytest.raises(ConfigError, match="--select model given for x86-64-v2: only builds for"):
        choose(cache_dir, target="x86-64-v2", select="model")
