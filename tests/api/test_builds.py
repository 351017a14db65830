"""The library API: the five lines of the README, and what they refuse."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from command_line import write_config

import tvm_sparse
from tvm_sparse.api.builds import Builds
from tvm_sparse.errors import ArtifactError, ConfigError, SparsityError
from tvm_sparse.model.model import Model
from tvm_sparse.runtime.metadata import load_metadata

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture(scope="module", autouse=True)
def offline():
    """No checkpoint is looked for: every run imports the same seeded weights."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield


@pytest.fixture(scope="module")
def cache_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def model(cache_dir) -> Model:
    return tvm_sparse.load_model(
        "bert-tiny", batch=1, seq_len=16, num_layers=1, weights="random", cache_dir=cache_dir
    )


@pytest.fixture(scope="module")
def pruned(model) -> Model:
    return tvm_sparse.sparsify(model, sparsity=0.95, block_shape=(4, 1))


@pytest.fixture(scope="module")
def builds(pruned) -> Builds:
    return tvm_sparse.compile(pruned)


def zero_share(model: Model) -> float:
    """Share of zeros in the dense layers of the encoder."""
    weights = [layer.load(model.params) for layer in model.layers if "encoder" in layer.name]
    assert weights
    return 1 - sum(map(np.count_nonzero, weights)) / sum(weight.size for weight in weights)


def test_the_five_lines(model, pruned, builds, tmp_path):
    assert model.facts.weights.kind == "random"
    assert zero_share(model) < 0.01
    assert zero_share(pruned) == pytest.approx(0.95, abs=0.002)
    assert set(builds.directories) == {"dense", "sparse"}
    assert max(builds.check["dense_against_tensorflow"].values()) < 1e-4
    assert max(builds.check["sparse_against_dense"].values()) < 1e-4

    record = tvm_sparse.benchmark(builds, iterations=5, warmup_s=0)
    assert record.check == builds.check
    assert record.builds["sparse"].speedup.ratio > 0
    for name in ("dense", "sparse"):
        assert record.builds[name].iterations == 5
        assert 0 < record.builds[name].latency_ms.min <= record.builds[name].latency_ms.median
    assert record.builds["sparse"].weights_bytes < record.builds["dense"].weights_bytes

    directory = tvm_sparse.export(builds, tmp_path / "exported")
    assert load_metadata(directory).build == "sparse"
    loaded = tvm_sparse.load(directory, threads=1)
    found = loaded.run(**model.reference.inputs)
    wanted = tvm_sparse.load(builds.directories["dense"], threads=1).run(**model.reference.inputs)
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-4)


def test_a_stage_changes_nothing_it_is_given(model, pruned):
    before = {name: value.copy() for name, value in model.params.items()}
    tvm_sparse.sparsify(model, sparsity=0.5, block_shape=(2, 2), seed=7)
    assert model.sparsity is None
    assert model.params is model.reference.params
    for name, value in before.items():
        np.testing.assert_array_equal(model.params[name], value)
    assert pruned.original.params is model.params
    assert pruned.sparsity.prune == "random"


def test_a_second_time_everything_comes_from_the_cache(pruned, builds, cache_dir):
    told = []
    again = tvm_sparse.load_model(pruned.spec, cache_dir=cache_dir, progress=told.append)
    assert not any("TensorFlow" in line for line in told)
    repeated = tvm_sparse.compile(tvm_sparse.sparsify(again, pruned.sparsity), progress=told.append)
    assert repeated.directories == builds.directories
    assert [line for line in told if line.endswith("build taken from the cache")] == [
        "dense build taken from the cache",
        "sparse build taken from the cache",
    ]


def test_magnitude_pruning_keeps_the_largest_blocks(model):
    pruned = tvm_sparse.sparsify(model, sparsity=0.75, block_shape=(4, 1), prune="magnitude")
    assert zero_share(pruned) == pytest.approx(0.75, abs=0.002)
    layer = next(layer for layer in model.layers if "intermediate" in layer.name)
    before, after = layer.load(model.params), layer.load(pruned.params)
    units, depth = before.shape
    norms = np.linalg.norm(before.reshape(units // 4, 4, depth), axis=1)
    kept = after.reshape(units // 4, 4, depth).any(axis=1)
    assert norms[kept].min() >= norms[~kept].max()
    np.testing.assert_array_equal(after[after != 0], before[after != 0])
    built = tvm_sparse.compile(pruned)
    assert max(built.check["sparse_against_dense"].values()) < 1e-4


def test_own_weights_are_built_as_they_are(model, builds):
    """Weights somebody pruned himself, under a spec that was built before."""
    spec = tvm_sparse.sparsify(model, block_shape=(4, 1), prune="none").sparsity
    directories = []
    for keep in (3, 5):
        params = dict(model.params)
        for layer in model.layers:
            if "encoder" in layer.name:
                weight = layer.load(params).copy()
                weight[np.arange(len(weight)) // 4 % keep > 0] = 0
                params[layer.name] = layer.to_stored(weight)
        own = replace(model, params=params, sparsity=spec)
        built = tvm_sparse.compile(own)
        assert max(built.check["sparse_against_dense"].values()) < 1e-4
        directories.append(built.directories["sparse"])
    assert directories[0] != directories[1]


@pytest.mark.parametrize(("zeros", "prune"), [(0.45, "none"), (0.01, "random")])
def test_weights_with_a_notable_share_of_zeros_are_not_replaced(model, zeros, prune):
    rng = np.random.default_rng(0)
    weights = {
        name: np.where(rng.random(value.shape) < zeros, 0, value).astype(np.float32)
        for name, value in model.params.items()
    }
    own = replace(model, params=weights, reference=replace(model.reference, params=weights))
    found = tvm_sparse.sparsify(own, block_shape=(4, 1))
    assert found.sparsity.prune == prune
    assert bool(zero_share(found) == zero_share(own)) is (prune == "none")


def test_a_pruned_model_keeps_its_weights_where_other_layers_are_chosen(model):
    pruned = tvm_sparse.prune(model, method="magnitude", sparsity=0.75, block_shape=(4, 1)).model
    again = tvm_sparse.sparsify(pruned, block_shape=(4, 1), sparsity_threshold=0.5)
    assert again.sparsity.prune == "none"
    for name, value in pruned.params.items():
        assert again.params[name] is value
    # Zeros that were made up are no model's own.
    other = tvm_sparse.sparsify(tvm_sparse.sparsify(pruned, sparsity=0.9, prune="random"))
    assert other.sparsity.prune == "random"


def test_prunebert_keeps_its_own_zeros(cache_dir):
    model = tvm_sparse.load_model(
        "prunebert", seq_len=16, num_layers=1, weights="random", cache_dir=cache_dir
    )
    assert zero_share(model) > 0.5
    asked = tvm_sparse.sparsify(model, sparsity=0.3, block_shape=(1, 1), sparsity_threshold=0.5)
    assert asked.sparsity.prune == "none"
    for name, value in model.params.items():
        assert asked.params[name] is value
    built = tvm_sparse.compile(asked)
    metadata = load_metadata(built.directories["sparse"])
    assert metadata.sparse_flops_share > 0.5
    assert max(built.check["sparse_against_dense"].values()) < 1e-4


def test_one_build_alone(model, pruned, builds):
    dense = tvm_sparse.compile(model, builds=["dense"])
    assert set(dense.directories) == {"dense"}
    assert load_metadata(dense.directories["dense"]).spec["sparsity"] is None
    sparse = tvm_sparse.compile(pruned, builds=["sparse"])
    assert sparse.directories == {"sparse": builds.directories["sparse"]}
    assert sparse.check == {}
    with pytest.raises(ArtifactError, match="build 'sparse' given: compiled are dense"):
        tvm_sparse.export(dense, "nowhere", "sparse")


def test_requests_that_cannot_be_met(model, builds, tmp_path):
    with pytest.raises(ConfigError, match=r"call sparsify\(model, \.\.\.\) first"):
        tvm_sparse.compile(model)
    with pytest.raises(ConfigError, match=r"sparsity 1\.5 given"):
        tvm_sparse.sparsify(model, sparsity=1.5)
    with pytest.raises(SparsityError):
        tvm_sparse.sparsify(model, block_shape=(5, 3))
    with pytest.raises(SparsityError):
        tvm_sparse.sparsify(model, include=("nothing*",))
    with pytest.raises(ConfigError, match="no inputs given"):
        tvm_sparse.benchmark(builds.directories)
    with pytest.raises(ConfigError, match="seq-len"):
        tvm_sparse.load_model(write_config(tmp_path / "m"), seq_len=65, cache_dir=tmp_path)
