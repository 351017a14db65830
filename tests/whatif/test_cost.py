"""The cost model: arithmetic of the roofline, Amdahl's limit, what follows from a curve."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tvm_sparse.errors import ConfigError
from tvm_sparse.formats.bsr import SparseFormat
from tvm_sparse.formats.panels import DenseFormat
from tvm_sparse.host import HostCpu
from tvm_sparse.kernel_facts import KernelFacts
from tvm_sparse.records.write import json_text
from tvm_sparse.tuning.kernel_fit import KernelFit
from tvm_sparse.tuning.kernel_job import KernelJob, read_jobs
from tvm_sparse.tuning.machine import Ceilings, MachineId, level_of
from tvm_sparse.whatif.cost import (
    CostModel,
    Product,
    amdahl_limit,
    corrected,
    least_sparsity,
)

pytestmark = pytest.mark.unit

PRODUCT = Product("64x32_bias", 3, 64, 32, 2.0, DenseFormat(24), SparseFormat(16))
PARTS = {"products": 7.0, "attention": 2.0, "norms": 0.5, "rest": 0.5}


def make_model(times=None, block_shape=(4, 1), part_scale=None) -> CostModel:
    fit = KernelFit.from_times(times or {0.1: 0.4, 0.5: 1.2, 1.0: 2.2})
    return CostModel(
        block_shape=block_shape,
        dense_ms=10.0,
        dense_weights_bytes=100_000,
        parts_ms=PARTS,
        products=(PRODUCT,),
        fits={PRODUCT.name: fit},
        part_scale=part_scale or {},
    )


def test_the_roofline_is_the_slower_of_computing_and_reading():
    ceilings = Ceilings(2, peak_gflop_s=100.0, bandwidth_gb_s={"L2": 50.0, "DRAM": 10.0})
    assert ceilings.roofline_ms(1e9, 0, "L2") == pytest.approx(10.0)
    assert ceilings.roofline_ms(1e9, 1e8, "L2") == pytest.approx(10.0)
    assert ceilings.roofline_ms(1e9, 1e9, "L2") == pytest.approx(20.0)
    assert ceilings.roofline_ms(1e9, 1e9, "DRAM") == pytest.approx(100.0)


def test_weights_lie_in_the_nearest_level_that_holds_the_model():
    host = HostCpu("cpu", "x86-64-v3", frozenset(), 32 << 10, 1 << 20, 32 << 20, 2)
    assert level_of(2 << 20, host, 2) == "L2"
    assert level_of((2 << 20) + 1, host, 2) == "L3"
    assert level_of((32 << 20) + 1, host, 2) == "DRAM"
    unknown = HostCpu("cpu", "x86-64-v3", frozenset(), 0, 0, 0, 2)
    assert level_of(1, unknown, 2) == "DRAM"


def test_a_job_counts_operations_and_bytes_of_its_non_zeros():
    job = KernelJob(KernelFacts("sparse_dense", 64, 32, (4, 1)), 2, 8, 4, num_weights=10_000)
    assert job.flops(0.5) == 2 * 16 * 64 * 32 * 0.5
    assert job.weight_bytes(0.5) == 64 * 32 * 0.5 * 5
    assert job.working_set_bytes(0.1) == pytest.approx(10_000 * 0.1 * 5)
    assert read_jobs([json.loads(json_text(job))]) == [job]
    assert KernelJob(KernelFacts("layer_norm", 64), 1, 8).flops(1.0) == 0


def test_steps_that_a_kernel_looks_at_ahead_weigh_too():
    plain = make_model()
    looking_ahead = SparseFormat(16, lanes=4, lookahead=16)
    padded = replace(plain, products=(replace(PRODUCT, sparse_form=looking_ahead),))
    more = padded.predict(0.9).weights_bytes - plain.predict(0.9).weights_bytes
    # Sixteen steps of four blocks, 20 bytes each.
    assert more == 16 * 4 * 20 * PRODUCT.calls


def test_a_kernel_is_interpolated_between_the_densities_it_was_timed_at():
    fit = KernelFit.from_times({1.0: 2.2, 0.1: 0.4, 0.5: 1.2})
    assert fit.at(0.1) == pytest.approx(0.4)
    assert fit.at(0.3) == pytest.approx(0.8)
    assert fit.at(0.05) == pytest.approx(0.3)
    # Something always remains: bias, activation, stores.
    assert KernelFit.from_times({0.1: 0.4, 0.5: 2.0}).at(0.0) == pytest.approx(0.2)
    assert fit.efficiency(0.5, roofline_ms=0.6) == pytest.approx(0.5)
    assert KernelFit.from_times({1.0: 3.0}).at(0.2) == 3.0


def test_a_spike_counts_neither_for_itself_nor_for_what_is_denser():
    fit = KernelFit.from_times({0.1: 8.7, 0.2: 0.3, 0.4: 0.5, 1.0: 1.2})
    assert fit.latency_ms == (0.3, 0.3, 0.5, 1.2)
    assert fit.disorder == pytest.approx(8.7 / 0.3)


@given(
    st.dictionaries(
        st.floats(0.01, 1.0), st.floats(1e-3, 1e3, allow_nan=False), min_size=1, max_size=6
    ),
    st.lists(st.floats(0.0, 1.0), min_size=2, max_size=8),
)
def test_more_non_zeros_never_take_less_time(times, densities):
    fit = KernelFit.from_times(times)
    found = [fit.at(density) for density in sorted(densities)]
    assert all(later >= earlier * (1 - 1e-9) for earlier, later in pairwise(found))
    assert min(found) > 0


@pytest.mark.parametrize("times", [{}, {0.5: 0.0}, {0.5: 1.0, 1.0: -1.0}])
def test_times_that_are_none_are_refused(times):
    with pytest.raises(ConfigError, match="over 0"):
        KernelFit.from_times(times)


def test_a_prediction_replaces_the_dense_products_and_keeps_the_rest():
    prediction = make_model().predict(0.5)
    # Three calls of 2 ms become three of 1.2 ms.
    assert prediction.latency_ms == pytest.approx(10.0 - 3 * 2.0 + 3 * 1.2)
    assert prediction.parts_ms == pytest.approx({**PARTS, "products": 7.0 - 2.4})
    assert prediction.products_ms == {PRODUCT.name: pytest.approx(1.2)}
    assert prediction.latency_ms == pytest.approx(sum(prediction.parts_ms.values()))


def test_weights_in_memory_are_blocks_offsets_and_rows():
    prediction = make_model().predict(0.5)
    blocks = 64 * 32 / 4 * 0.5
    sparse = blocks * (4 * 4 + 4) + 4 * 64 / 4
    dense = 3 * 24 * 32 * 4  # three panels of 24 outputs
    assert prediction.weights_bytes == round(100_000 + 3 * (sparse - dense))
    # Micro-batches read the same weights again.
    twice = replace(PRODUCT, calls=6, passes=2)
    again = replace(make_model(), products=(twice,)).predict(0.5)
    assert again.weights_bytes == prediction.weights_bytes


def test_another_token_layout_changes_the_parts_it_touches():
    prediction = make_model(part_scale={"attention": 1.5}).predict(0.5)
    assert prediction.parts_ms["attention"] == pytest.approx(3.0)
    assert prediction.parts_ms["norms"] == PARTS["norms"]


@given(st.lists(st.floats(0.0, 1.0), min_size=2, max_size=6))
def test_more_sparsity_never_takes_longer(sparsities):
    model = make_model()
    found = [model.latency_ms(sparsity) for sparsity in sorted(sparsities)]
    assert all(later <= earlier + 1e-9 for earlier, later in pairwise(found))


def test_no_sparsity_beats_amdahls_limit():
    model = make_model()
    limit = amdahl_limit(10.0, PRODUCT.calls * PRODUCT.dense_ms)
    assert limit == pytest.approx(2.5)
    assert 10.0 / model.latency_ms(1.0) < limit
    assert amdahl_limit(10.0, 0.0) == 1.0
    assert math.isinf(amdahl_limit(10.0, 10.0))


def test_the_least_sparsity_is_where_the_curve_crosses_the_target():
    def latency(sparsity: float) -> float:
        return 20.0 * (1 - sparsity)

    assert least_sparsity(latency, 10.0) == pytest.approx(0.5)
    assert least_sparsity(latency, 30.0) == 0.0
    assert least_sparsity(latency, 0.0) is None
    # A dip that does not last is no break-even.
    assert least_sparsity(lambda s: 5.0 if 0.2 < s < 0.4 else latency(s), 10.0) == 0.5


def test_a_corrected_curve_goes_through_what_was_measured():
    model = make_model()
    predict = model.latency_ms
    speedups = {0.4: 10.0 / (1.1 * predict(0.4)), 0.8: 10.0 / (0.9 * predict(0.8))}
    bent = corrected(model, speedups)
    assert bent(0.4) == pytest.approx(1.1 * predict(0.4))
    assert bent(0.8) == pytest.approx(0.9 * predict(0.8))
    assert bent(0.6) == pytest.approx(predict(0.6))
    assert bent(0.9) == pytest.approx(0.9 * predict(0.9))
    assert corrected(model, {})(0.3) == predict(0.3)


def test_machines_differ_by_their_cpu_isa_and_cores():
    here = MachineId("EPYC", "x86-64-v4", 2)
    assert here.mismatch(asdict(here)) == ""
    reason = here.mismatch(asdict(MachineId("Xeon", "x86-64-v4", 4)))
    assert reason == "cpu_model 'Xeon' there and 'EPYC' here, cores 4 there and 2 here"
