"""Builds whose weights are rounded to eight bits: what they hold, need, and how near they stay."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from encoder_builds import build, encoder, open_build, open_encoder, prune
from relax_modules import evaluate, random_values

from tvm_sparse.cache.store import Cache
from tvm_sparse.compiler.compile import compile_model
from tvm_sparse.config.compile import CompileSpec
from tvm_sparse.config.sparsity import SparsitySpec
from tvm_sparse.errors import ArtifactError
from tvm_sparse.formats.builds import INT8
from tvm_sparse.host import detect_host
from tvm_sparse.runtime.artifact import check_cpu, load
from tvm_sparse.runtime.metadata import load_metadata
from tvm_sparse.target import resolve_target

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(detect_host().isa == "aarch64", reason="no products of integers there"),
]


@pytest.fixture(scope="module")
def model():
    return encoder(1, 2, 5, 48)


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Cache:
    return Cache(tmp_path_factory.mktemp("cache"))


def relative_error(found, wanted) -> float:
    return max(
        np.linalg.norm(found[name] - value) / np.linalg.norm(value)
        for name, value in wanted.items()
    )


def test_it_is_near_the_model_at_a_part_of_its_weights(cache, model):
    directory = build(cache, "int8", model).directory
    _, _, inputs, outputs = model
    assert 1e-5 < relative_error(load(directory, 2).run(**inputs), outputs) < 0.02
    metadata = load_metadata(directory)
    dtypes = {d.weight: (d.dtype, d.dtype_reason) for d in metadata.decisions}
    assert dtypes.pop("pooler/kernel_w") == ("float32", "few rows")
    assert set(dtypes.values()) == {("int8", "")}
    calls = [call for call in metadata.calls if call.facts.part == "products"]
    assert {call.facts.dtype for call in calls if call.facts.kind == "packed_dense"} == {"int8"}
    # Query, key and value multiply the same words.
    assert sum(call.facts.kind == "quantize_tokens" for call in calls) == 4


def test_it_says_what_cpu_it_needs(cache, model):
    metadata = load_metadata(build(cache, "int8", model).directory)
    level = resolve_target(detect_host().isa)
    extensions = resolve_target().extensions
    assert metadata.required_features == (*level.required_features, *extensions)
    plain = load_metadata(build(cache, "int8", model, target=level.isa).directory)
    assert plain.required_features == level.required_features
    check_cpu(plain, frozenset(level.required_features))
    if extensions:
        with pytest.raises(ArtifactError, match=f"lacks {', '.join(extensions)}: export the"):
            check_cpu(metadata, frozenset(level.required_features))


def test_blocks_run_as_integers_where_rows_share_them(cache, model):
    mod, params, inputs, _ = model
    for block_shape, dtype, reason in (
        ((4, 4), "int8", ""),
        ((4, 1), "int8", ""),
        ((1, 1), "float32", "blocks of 1x1: bs-c is no multiple of 4"),
    ):
        pruned = prune(params, block_shape)
        spec = SparsitySpec(block_shape=block_shape, sparsity_threshold=0.5)
        artifact = build(cache, "int8-sparse", model, params=pruned, sparsity=spec)
        metadata = load_metadata(artifact.directory)
        sparse = [d for d in metadata.decisions if d.action == "sparse"]
        assert {(d.dtype, d.dtype_reason) for d in sparse} == {(dtype, reason)}
        wanted = dict(
            zip(("last_hidden_state", "pooler_output"), evaluate(mod, pruned, inputs), strict=True)
        )
        assert relative_error(load(artifact.directory, 2).run(**inputs), wanted) < 0.02


def test_layers_can_keep_what_they_are(model):
    mod, params, *_ = model
    name = "encoder/layer_._0/inner/kernel_w"
    made = compile_model(
        mod, params, CompileSpec(), build=replace(INT8, kept=((name, "too far off"),))
    )
    assert made.lowered.stored[name] == ("float32", "too far off")
    assert {call.facts.dtype for call in made.lowered.calls if name in call.members} == {"float32"}


def test_any_length(tmp_path):
    int8 = load(open_build(tmp_path, "int8"), 2)
    mod, _, run = open_encoder()
    for batch, seq_len in ((1, 1), (2, 33), (3, 16)):
        inputs = random_values(mod, batch=batch, seq_len=seq_len)[0]
        assert relative_error(int8.run(**inputs), run(inputs)) < 0.02
    lengths = (5, 33, 16)
    ids = [np.arange(length, dtype=np.int32) % 2 for length in lengths]
    masks = [np.ones(length, np.int32) for length in lengths]
    for one, mask, result in zip(ids, masks, int8.run_ragged(ids, mask_ids=masks), strict=True):
        alone = int8.run(input_ids=one[None], mask_ids=mask[None])
        for name, value in result.items():
            np.testing.assert_array_equal(value, alone[name][0])
