"""Micro-benchmarks: they time the kernels of the pipeline, and survive a process that dies."""

from __future__ import annotations

import numpy as np
import pytest

from tvm_sparse.bench.product_kernel import build_product
from tvm_sparse.cache.store import Cache
from tvm_sparse.errors import BuildError
from tvm_sparse.formats.bsr import SparseFormat
from tvm_sparse.kernel_facts import Epilogue, KernelFacts
from tvm_sparse.sparsity.bsr import to_bsr
from tvm_sparse.sparsity.patterns import fill_random
from tvm_sparse.target import resolve_target
from tvm_sparse.tuning import calibrate
from tvm_sparse.tuning.calibrate import measured_ceilings, measured_kernels
from tvm_sparse.tuning.kernel_job import KernelJob
from tvm_sparse.tuning.micro_benchmark import make_arguments, shape_of
from tvm_sparse.tuning.race import measure_ms
from tvm_sparse.tuning.records import Records

pytestmark = pytest.mark.numeric

TOKENS = 16


@pytest.mark.parametrize("block_shape", [(1, 1), (4, 1), (16, 1)])
@pytest.mark.parametrize("density", [0.02, 0.3])
def test_weights_are_packed_as_the_pipeline_packs_them(block_shape, density):
    rng = np.random.default_rng(0)
    full = rng.standard_normal((64, 768)).astype(np.float32)
    weight = fill_random(full, block_shape, 1 - density, rng)
    job = KernelJob(KernelFacts("sparse_dense", 64, 768, block_shape), 1, TOKENS, block_shape[0])
    bsr, target = to_bsr(weight, block_shape), resolve_target()
    form = SparseFormat.choose(shape_of(job, 1 - bsr.block_sparsity, target), target)
    packed = form.pack([bsr.data, bsr.indices, bsr.indptr], 768)
    operands = build_product(weight, TOKENS, block_shape).operands
    for mine, theirs in zip(packed, operands[:5], strict=True):
        np.testing.assert_array_equal(mine, theirs.numpy())


def test_there_are_as_many_copies_as_the_model_has_weights():
    job = KernelJob(KernelFacts("sparse_dense", 64, 64, (4, 1)), 1, 64, 4, num_weights=10 * 64 * 64)
    target = resolve_target()
    sets = list(make_arguments(job, 1.0, target, last_cache_bytes=1 << 30))
    assert len(sets) == 10
    # Activations are warm, weights are not.
    assert len({id(arguments[0]) for arguments in sets}) == 1
    assert len({id(arguments[1]) for arguments in sets}) == 10
    small = list(make_arguments(job, 1.0, target, last_cache_bytes=64 * 64 * 4))
    assert 1 <= len(small) < 4


def test_the_time_of_a_call_is_its_own():
    calls = []
    assert measure_ms(calls.append, [[1], [2]]) > 0
    assert calls[0] == 1
    assert set(calls) == {1, 2}


def test_every_kind_of_kernel_is_timed_in_a_process_of_its_own(cache_dir):
    gelu, residual = Epilogue(bias=True, activation="gelu"), Epilogue(bias=True, residual=True)
    jobs = [
        KernelJob(KernelFacts("sparse_dense", 32, 32, (4, 1), gelu), 1, TOKENS, 4),
        KernelJob(KernelFacts("packed_dense", 32, 32, epilogue=residual), 1, TOKENS),
        KernelJob(KernelFacts("attention", 2, 16), 1, TOKENS),
        KernelJob(KernelFacts("layer_norm", 32, epilogue=Epilogue(residual=True)), 1, TOKENS),
    ]
    found = measured_kernels(Records(Cache(cache_dir)), jobs, 1)
    assert list(found) == jobs
    for job, times in found.items():
        assert tuple(times) == job.densities
        assert min(times.values()) > 0


def test_a_measuring_process_that_dies_is_told(cache_dir, monkeypatch):
    monkeypatch.setattr(calibrate, "_MODULE", "no_such_module")
    with pytest.raises(BuildError, match="that times kernels ended with status 1; it said:"):
        measured_ceilings(Records(Cache(cache_dir)), 1)
