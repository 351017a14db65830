"""Kernel calls carry the names of the layers they work for, the same in every build."""

from __future__ import annotations

import pytest
from relax_modules import make_encoder, make_module, make_open_encoder, random_values
from tvm import relax

from tvm_sparse.config.sparsity import SparsitySpec
from tvm_sparse.kernel_facts import Epilogue, KernelFacts
from tvm_sparse.passes.pipeline import lower
from tvm_sparse.runtime.metadata import KernelCall
from tvm_sparse.target import resolve_target

pytestmark = pytest.mark.ir

op = relax.op


def calls_of(mod, block_shape=None, isa="native", **layers) -> list[KernelCall]:
    _, params = random_values(mod)
    spec = None
    if block_shape:
        spec = SparsitySpec(block_shape=block_shape, sparsity_threshold=0.0, **layers)
    return lower(mod, params, resolve_target(isa), spec).calls


def layers_of(num: int) -> list[str]:
    parts = ("{query,key,value}", "attention_3x8", "output", "norm")
    attention = [f"encoder/layer_._{num}/attention/{part}" for part in parts]
    return [*attention, *(f"encoder/layer_._{num}/{part}" for part in ("inner", "outer", "norm"))]


@pytest.mark.parametrize("isa", ["x86-64-v2", "x86-64-v3", "x86-64-v4"])
def test_every_layer_of_an_encoder_is_named_in_order(isa):
    names = [call.layer for call in calls_of(make_encoder(), isa=isa)]
    start = names.index("embeddings/norm") + 1
    assert names[start : start + 14] == [*layers_of(0), *layers_of(1)]
    # Wide registers take the pooler's few rows as a token tile, and bring it back behind it.
    assert "pooler" in names[-3:]
    assert set(names[: start - 1]) <= {"embeddings", "pack_tokens", names[0]}
    # What has no weights is named after its kernel, beside the layer its data came from.
    assert "encoder/layer_._1/unpack_tokens" in names


def test_dense_and_sparse_builds_name_the_same_layers():
    dense = [call.layer for call in calls_of(make_encoder())]
    sparse = [call.layer for call in calls_of(make_encoder(), (4, 1))]
    assert dense == sparse


def test_projections_stacked_apart_are_named_apart():
    names = [call.layer for call in calls_of(make_encoder(1), (4, 1), exclude=("*query*",))]
    assert "encoder/layer_._0/attention/query" in names
    assert "encoder/layer_._0/attention/{key,value}" in names


def test_kernels_are_those_of_the_module():
    mod = make_encoder()
    _, params = random_values(mod)
    lowered = lower(mod, params, resolve_target())
    defined = {gv.name_hint for gv in lowered.mod.get_global_vars()} - {"main"}
    assert {call.kernel for call in lowered.calls} == defined


def test_a_shared_layer_is_named_at_each_of_its_calls():
    def body(emit, x, w, b):
        for _ in range(3):
            x = emit(op.tanh(emit(op.add(emit(op.matmul(x, w)), b))))
        return x

    mod = make_module({"x": (2, 5, 8)}, {"shared/w": (8, 8), "shared/b": (8,)}, body)
    assert [call.layer for call in calls_of(mod)].count("shared") == 3


def test_names_without_a_path():
    mod = make_module(
        {"x": (2, 5, 8)},
        {"w": (8, 8), "b": (8,)},
        lambda emit, x, w, b: op.add(emit(op.matmul(x, w)), b),
    )
    assert [call.layer for call in calls_of(mod)] == ["pack_tokens", "w", "unpack_tokens"]


def test_calls_say_what_they_compute():
    """A stack of blocks, attention, a layer norm, a pooler of a few rows, and TVM's own."""
    calls = calls_of(make_encoder(1), (4, 1), "x86-64-v3")
    by_layer = {call.layer.removeprefix("encoder/layer_._0/"): call for call in calls}
    stack = by_layer["attention/{query,key,value}"]
    assert stack.facts == KernelFacts("sparse_dense", 72, 24, (4, 1), Epilogue(bias=True))
    names = ("query", "key", "value")
    assert stack.members == tuple(f"encoder/layer_._0/attention/{name}/kernel_w" for name in names)
    assert by_layer["attention/attention_3x8"].facts == KernelFacts("attention", 3, 8)
    assert by_layer["norm"].facts.kind == "layer_norm"
    assert by_layer["pooler"].facts.kind == "row_dense"
    assert by_layer["pooler"].members == ("pooler/kernel_w",)
    assert [call.index for call in calls] == list(range(len(calls)))
    # A kernel is named after what it computes; the module numbers those that share a name.
    for call in calls:
        if call.facts.kind == "other":
            assert (call.facts.part, call.members) == ("rest", ())
        else:
            assert call.kernel.rstrip("0123456789") == call.facts.name.rstrip("0123456789")


def test_products_of_open_models_share_kernels_and_calls_know_what_they_are():
    calls = calls_of(make_open_encoder(num_layers=1, width=48), (4, 1))
    by_layer = {call.layer.removeprefix("encoder/layer_._0/"): call for call in calls}
    short, wide, long = (by_layer[name] for name in ("attention/output", "inner", "outer"))
    assert {call.kernel for call in (short, wide, long)} == {"sparse_dense_4x1_bias_gelu"}
    plain, activated = Epilogue(bias=True), Epilogue(bias=True, activation="gelu")
    assert short.facts == KernelFacts("sparse_dense", 48, 48, (4, 1), plain)
    assert wide.facts == KernelFacts("sparse_dense", 96, 48, (4, 1), activated)
    assert long.facts == KernelFacts("sparse_dense", 48, 96, (4, 1), plain)


def test_a_product_that_tvm_multiplies_is_one_all_the_same():
    mod = make_module(
        {"x_ids": (2, 5, 8)},
        {"a/w_ids": (8, 8), "a/b_ids": (8,)},
        lambda emit, x, w, b: emit(op.add(emit(op.matmul(x, w)), b)),
    )
    transpose, call = calls_of(mod)
    assert (transpose.facts.part, transpose.members) == ("rest", ())
    assert (call.facts.kind, call.facts.part) == ("tvm_matmul", "products")
    assert (call.layer, call.members) == ("a", ("a/w_ids",))
