"""The dense build's calls: their parts, and which products could run sparse."""

from __future__ import annotations

from dataclasses import replace

import pytest
from study_parts import (
    CALLS,
    LATENCY_MS,
    LAYER,
    SETTING,
    make_baseline,
    make_layers,
    make_record,
)

from tvm_sparse.errors import SparsityError
from tvm_sparse.kernel_facts import KernelFacts
from tvm_sparse.target import resolve_target
from tvm_sparse.tuning.kernel_job import KernelJob
from tvm_sparse.tuning.setting import Setting
from tvm_sparse.whatif.baseline import Baseline, pooled

pytestmark = pytest.mark.unit


def test_parts_add_up_to_the_latency():
    parts = make_baseline().parts_ms
    assert parts == pytest.approx({"products": 7.5, "attention": 1.0, "norms": 0.5, "rest": 1.0})
    assert sum(parts.values()) == pytest.approx(LATENCY_MS)


def test_a_latency_is_that_of_the_quiet_rounds():
    """A neighbour slows most rounds by half: the build is as fast as in the others."""
    build = make_record().builds["dense"]
    noisy = replace(
        build, calls=(), round_median_ms=(10.0, 15.0, 15.2, 15.4, 10.1, 15.0, 15.2, 15.3)
    )
    assert noisy.undisturbed_ms == pytest.approx(10.07)
    assert noisy.timed.slowness == pytest.approx(1.007)
    mostly = replace(noisy, round_median_ms=(10.0, *[15.0] * 7))
    assert mostly.timed.slowness == pytest.approx(1.35)
    # The profile was taken at a better moment than all rounds.
    assert replace(build, round_median_ms=(15.0,) * 5).timed.slowness == pytest.approx(1.5)


def test_a_profile_slower_than_the_build_is_scaled_to_it():
    baseline = make_baseline(latency_ms=5.0)
    assert baseline.profile_scale == pytest.approx(0.5)
    assert sum(baseline.parts_ms.values()) == pytest.approx(5.0)
    assert baseline.parts_ms["products"] == pytest.approx(3.75)
    (first, _), *_ = baseline.products((4, 1))
    assert first.dense_ms == pytest.approx(1.5)


def test_products_of_the_encoder_would_run_sparse_with_their_epilogues():
    found = make_baseline().products((4, 1))
    assert [(p.name, p.calls, p.units, p.depth, p.dense_ms) for p, _ in found] == [
        ("packed_dense_96x32_bias", 1, 96, 32, 3.0),
        ("packed_dense_32x32_bias_residual", 1, 32, 32, 1.0),
        ("packed_dense_64x32_bias_gelu_tanh", 1, 64, 32, 2.0),
        ("packed_dense_32x64_bias_residual", 1, 32, 64, 1.0),
    ]
    jobs = [job for _, job in found]
    assert [job.kernel.name for job in jobs] == [
        "sparse_dense_96x32_4x1_bias",
        "sparse_dense_32x32_4x1_bias_residual",
        "sparse_dense_64x32_4x1_bias_gelu_tanh",
        "sparse_dense_32x64_4x1_bias_residual",
    ]
    assert {(job.batch, job.seq_len, job.layout_rows) for job in jobs} == {(1, 8, 4)}
    # The pooler is not among them.
    assert jobs[0].num_weights == 4 * 32 * 32 + 2 * 64 * 32


def test_calls_of_one_kernel_are_one_product():
    second = [
        replace(
            call,
            layer=call.layer.replace("layer_._0", "layer_._1"),
            members=tuple(name.replace("layer_._0", "layer_._1") for name in call.members),
            latency_ms=call.latency_ms + 1,
        )
        for call in CALLS
        if call.layer.startswith(LAYER)
    ]
    baseline = make_baseline(30.0, (*CALLS, *second))
    layers = tuple(
        replace(layer, name=layer.name.replace("layer_._0", "layer_._1"), block=1)
        for layer in baseline.layers
        if "layer_._0" in layer.name
    )
    both = Baseline(
        SETTING,
        baseline.latency_ms,
        baseline.weights_bytes,
        baseline.calls,
        (*baseline.layers, *layers),
        baseline.record,
    )
    product, job = both.products((4, 1))[0]
    assert (product.calls, product.dense_ms) == (2, 3.0)
    assert job.num_weights == 2 * (4 * 32 * 32 + 2 * 64 * 32)


def test_equal_kernels_take_equal_time():
    """One layer's call was interrupted through the whole profile, the others' were not."""
    slow, *others = (replace(CALLS[1], latency_ms=ms) for ms in (8.7, 0.12, 0.12, 0.14))
    assert [call.latency_ms for call in pooled([slow, *others])] == [0.12] * 4
    assert [call.latency_ms for call in pooled([slow, others[0]])] == [0.12] * 2
    assert pooled(CALLS) == CALLS


def test_what_the_block_or_a_pattern_rules_out_stays_dense():
    baseline = make_baseline()
    # 64 rows alone are a multiple of 64.
    assert [p.name for p, _ in baseline.products((64, 1))] == ["packed_dense_64x32_bias_gelu_tanh"]
    without = baseline.products((4, 1), exclude=["*/intermediate/*"])
    assert "packed_dense_64x32_bias_gelu_tanh" not in [p.name for p, _ in without]
    # A stack is sparse only as a whole.
    part = baseline.products((4, 1), exclude=["*/query/*"])
    assert "packed_dense_96x32_bias" not in [p.name for p, _ in part]
    with pytest.raises(SparsityError, match="divides none"):
        baseline.products((5, 1))
    with pytest.raises(SparsityError, match="matches none"):
        baseline.products((4, 1), include=["*/nothing/*"])


def test_a_product_in_a_kernel_that_is_not_ours_stays_dense():
    qkv = replace(CALLS[1], kernel="fused_matmul_add", facts=KernelFacts("tvm_matmul"))
    baseline = make_baseline(calls=(CALLS[0], qkv, *CALLS[2:]))
    assert baseline.parts_ms == make_baseline().parts_ms
    assert "packed_dense_96x32_bias" not in [p.name for p, _ in baseline.products((4, 1))]
    reasons = baseline.reasons((4, 1))
    assert reasons[f"{LAYER}/attention/self/query/kernel"].startswith("runs in fused_matmul_add")
    assert reasons["bert/pooler/dense/kernel"].startswith("head")


def test_an_open_build_has_its_kernels_and_passes_at_any_shape():
    """FLOPs are those of 8 tokens, the longest text; the profile has two passes together."""
    setting = Setting(4, 6, 1, 3, (16, 8))
    baseline = Baseline.from_record(setting, make_record(), make_layers())
    assert baseline.parts_ms == pytest.approx(make_baseline().parts_ms)
    fixed = dict(make_baseline().products((4, 1)))
    for product, job in baseline.products((4, 1)):
        alone = next(one for one in fixed if one.name == product.name)
        assert (product.calls, product.dense_ms) == (2 * alone.calls, alone.dense_ms / 2)
        assert product.passes == 2
        assert (job.batch, job.seq_len, job.is_open) == (3, 4, True)
        assert job.num_weights == fixed[alone].num_weights
        assert job.layout(resolve_target()).is_open


def test_attention_and_norms_are_known_as_kernels():
    jobs = make_baseline().layout_jobs(16)
    assert jobs == {
        "attention_2x16": KernelJob(KernelFacts("attention", 2, 16), 1, 8, 16),
        "layer_norm_32": KernelJob(KernelFacts("layer_norm", 32), 1, 8, 16),
    }
