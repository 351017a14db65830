"""Kernels of 8 bits are timed as those of floats are, and decide for their own builds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tvm_sparse.formats.builds import INT8, INT8_FAST, INT8_FAST_SPARSE, INT8_SPARSE, SPARSE
from tvm_sparse.formats.quantized import TOKEN_WORDS, WORD
from tvm_sparse.formats.registry import widened
from tvm_sparse.host import detect_host
from tvm_sparse.kernel_facts import KernelFacts
from tvm_sparse.target import resolve_target
from tvm_sparse.tiles import Tiles, TokenTile
from tvm_sparse.tuning.kernel_job import KernelJob, build_kernel
from tvm_sparse.tuning.micro_benchmark import make_arguments, make_kernel, time_jobs
from tvm_sparse.tuning.tune import _distinct, _packings, _sizes

pytestmark = [
    pytest.mark.numeric,
    pytest.mark.skipif(detect_host().isa == "aarch64", reason="no products of integers there"),
]

SPARSE_KERNEL = KernelFacts("sparse_dense", 64, 96, (4, 4))


@pytest.mark.parametrize(
    ("kernel", "build", "dtype"),
    [
        (SPARSE_KERNEL, SPARSE, "float32"),
        (SPARSE_KERNEL, INT8_SPARSE, "int8"),
        (SPARSE_KERNEL.as_sparse((4, 1)), INT8_SPARSE, "int8"),
        (SPARSE_KERNEL.as_sparse((1, 1)), INT8_SPARSE, "float32"),  # words would not pay
        (SPARSE_KERNEL, INT8_FAST_SPARSE, "int8-fast"),
        (SPARSE_KERNEL, widened(INT8_SPARSE), "int16"),
        (SPARSE_KERNEL.as_dense(), widened(INT8), "int16"),
        (SPARSE_KERNEL.as_dense(), INT8, "int8"),
        (SPARSE_KERNEL.as_dense(), INT8_FAST, "int8-fast"),
        (KernelFacts("packed_dense", 64, 30), INT8, "float32"),
    ],
)
def test_a_kernel_is_of_the_format_that_can_hold_its_weight(kernel, build, dtype) -> None:
    assert build_kernel(kernel, build).dtype == dtype


def test_what_multiplies_words_is_given_words() -> None:
    target = resolve_target()
    job = KernelJob(build_kernel(SPARSE_KERNEL, INT8_SPARSE), 1, 16, layout_rows=4)
    for kernel in (job.kernel, build_kernel(SPARSE_KERNEL.as_dense(), INT8)):
        one = KernelJob(kernel, 1, 16, layout_rows=4)
        data, *_ = next(make_arguments(one, 0.5, target, 1 << 20))
        assert data.dtype == np.int32
        assert data.shape[1] == 96 // WORD + TOKEN_WORDS
        parameters = make_kernel(one, 0.5, target).params
        assert len(parameters) == len(next(make_arguments(one, 0.5, target, 1 << 20)))


def test_products_of_integers_and_their_rounding_are_timed() -> None:
    facts = (
        build_kernel(SPARSE_KERNEL, INT8_SPARSE),
        build_kernel(SPARSE_KERNEL.as_dense(), INT8_FAST),
        KernelFacts("quantize_tokens", 96),
    )
    jobs = [KernelJob(one, 1, 16, layout_rows=4) for one in facts]
    told: list[dict] = []
    time_jobs(jobs, told.append)
    assert [event["job"] for event in told] == [0, 1, 2]
    for event, job in zip(told, jobs, strict=True):
        assert len(event["latency_ms"]) == len(job.densities)
        assert min(event["latency_ms"].values()) > 0


@pytest.mark.parametrize("block_shape", [(4, 4), (4, 1)])
def test_tiles_that_make_one_kernel_are_raced_once(block_shape) -> None:
    kernel = build_kernel(KernelFacts("sparse_dense", 96, 192, block_shape), INT8_FAST_SPARSE)
    job, target = KernelJob(kernel, 1, 48, layout_rows=4), resolve_target("x86-64-v3")
    token = TokenTile(4, 48, 2, "int8-fast")
    (first, *_) = _sizes(job, 0.1, token, target)
    rivals = [first, *_packings(job, first)]
    assert 1 <= len(_distinct(job, 0.1, rivals, target)) < len(rivals)
    assert _distinct(job, 0.1, rivals, target)[0] == first


def test_a_token_tile_is_that_of_the_build() -> None:
    tokens = (TokenTile(0, 48, 1, "float32"), TokenTile(0, 48, 2, "int8"))
    job = KernelJob(KernelFacts("packed_dense", 96, 192, dtype="int16"), 1, 48)
    for dtype, found in (("", ()), ("int8", tokens[1:])):
        own = replace(job, layout_dtype=dtype).with_tiles(Tiles(tokens)).tiles
        assert own is not None
        assert own.tokens == found
