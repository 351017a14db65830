"""From kernel times to a cost model, with times that are made up."""

from __future__ import annotations

import dataclasses

import pytest
from study_parts import LATENCY_MS, SETTING, make_baseline

from tvm_sparse.cache.store import Cache
from tvm_sparse.formats.token_layout import choose_layout
from tvm_sparse.target import resolve_target
from tvm_sparse.tuning import calibrate
from tvm_sparse.tuning.kernel_job import read_jobs
from tvm_sparse.tuning.machine import LEVELS, Ceilings, MachineId
from tvm_sparse.tuning.records import Records
from tvm_sparse.whatif.predict import make_predictors, needed_jobs

pytestmark = pytest.mark.unit

BLOCK = (4, 1)


class FakeProcess:
    """Stands for the measuring process: a kernel takes a microsecond per weight it reads."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.slowdown = 1.0
        self.pace_ms = 1.0
        self.disturbed = False
        #: Factors on the times of kernels of a kind at a density, for so many requests.
        self.spikes: dict[tuple[str, float], float] = {}
        self.spoilt = 0

    def __call__(self, module, request, threads, on_event):
        jobs = read_jobs(request["jobs"])
        self.asked.append(len(jobs))
        for index, job in enumerate(jobs):
            size = job.kernel.units * max(job.kernel.depth, 1) * self.slowdown / 1e3
            spikes = self.spikes if len(self.asked) <= self.spoilt else {}
            times = {
                str(d): size * d * self.pace_ms * spikes.get((job.kernel.kind, d), 1.0)
                for d in job.densities
            }
            paces = dict.fromkeys(times, self.pace_ms)
            on_event(
                {
                    "job": index,
                    "latency_ms": times,
                    "reference_ms": paces,
                    "disturbed": self.disturbed,
                }
            )


@pytest.fixture
def process(monkeypatch) -> FakeProcess:
    fake = FakeProcess()
    monkeypatch.setattr(calibrate, "time_kernels", fake)
    return fake


@pytest.fixture
def records(cache_dir) -> Records:
    return Records(Cache(cache_dir), machine=MachineId("EPYC", "x86-64-v4", 2))


def test_kernels_are_timed_once_and_kept(records, process):
    baseline = make_baseline()
    jobs = needed_jobs(baseline, [BLOCK])
    assert calibrate.count_missing(records, jobs, 1) == len(jobs)
    first = make_predictors(baseline, [BLOCK], records)
    assert process.asked == [len(jobs)]
    assert calibrate.count_missing(records, jobs, 1) == 0
    assert calibrate.count_missing(records, jobs, 2) == len(jobs)
    assert make_predictors(baseline, [BLOCK], records) == first
    assert process.asked == [len(jobs)]


def test_disturbed_kernels_are_timed_again_when_asked(records, process):
    baseline = make_baseline()
    process.disturbed = True
    make_predictors(baseline, [BLOCK], records)
    make_predictors(baseline, [BLOCK], records)
    process.disturbed = False
    make_predictors(baseline, [BLOCK], records, again=True)
    make_predictors(baseline, [BLOCK], records, again=True)
    assert process.asked == [len(needed_jobs(baseline, [BLOCK]))] * 2


def test_what_was_timed_at_a_slow_moment_is_brought_to_the_pace_of_the_best(records, process):
    baseline = make_baseline()
    process.pace_ms = 3.0
    make_predictors(baseline, [BLOCK], records)
    process.pace_ms = 2.0
    both = make_predictors(baseline, [BLOCK, (2, 1)], records)
    for block_shape, predictor in both.items():
        assert predictor.model.latency_ms(0.5) == pytest.approx(LATENCY_MS - 0.5 * 7.0), block_shape


@pytest.mark.parametrize(
    "spikes",
    [
        {("sparse_dense", 0.1): 40.0},  # fewer non-zeros would take longer than more
        {("packed_dense", 1.0): 3.0},  # sparse would beat dense without a single zero
    ],
)
def test_times_that_contradict_each_other_are_taken_again(records, process, spikes):
    baseline = make_baseline()
    plain = make_predictors(baseline, [BLOCK], Records(records.cache, machine=MachineId("", "", 1)))
    process.asked.clear()
    process.spikes, process.spoilt = spikes, 2
    lines: list[str] = []
    found = make_predictors(baseline, [BLOCK], records, progress=lines.append)
    assert found[BLOCK].model.predict(0.9) == plain[BLOCK].model.predict(0.9)
    assert len(process.asked) == 3
    assert "again: their times contradict each other" in lines[-1]
    # What was timed often enough is known as it is.
    make_predictors(baseline, [BLOCK], records)
    assert len(process.asked) == 3


def test_times_that_go_on_to_contradict_each_other_end_the_trying(records, process):
    process.spikes, process.spoilt = {("packed_dense", 1.0): 3.0}, 9
    predictor = make_predictors(make_baseline(), [BLOCK], records)[BLOCK]
    assert len(process.asked) == 3
    found = predictor.efficiencies(Ceilings(1, 1.0, dict.fromkeys(LEVELS, 1.0)))
    sparse_ms = sum(kernel.latency_ms[-1] for kernel in found)
    assert sum(kernel.dense_ms for kernel in found) == pytest.approx(3 * sparse_ms)


def test_only_what_is_new_is_timed(records, process):
    baseline = make_baseline()
    make_predictors(baseline, [BLOCK], records)
    make_predictors(baseline, [BLOCK, (2, 1)], records)
    # Four products; their dense twins, and maybe another token layout, are known.
    assert process.asked[1] >= 4
    assert process.asked[1] == len(needed_jobs(baseline, [BLOCK, (2, 1)])) - process.asked[0]


def test_the_ratio_in_the_model_to_alone_scales_the_sparse_kernels(records, process):
    """Sparse kernels as fast as dense ones must predict the dense latency, however slow alone."""
    baseline = make_baseline()
    process.slowdown = 7.0
    model = make_predictors(baseline, [BLOCK], records)[BLOCK].model
    assert model.latency_ms(0.0) == pytest.approx(LATENCY_MS)
    assert model.latency_ms(0.5) == pytest.approx(LATENCY_MS - 0.5 * 7.0)


def test_efficiency_is_the_rooflines_time_over_the_kernels(records, process):
    predictor = make_predictors(make_baseline(), [BLOCK], records)[BLOCK]
    ceilings = Ceilings(1, 1e-3, {"L1": 1e6, "L2": 1e6, "L3": 1e6, "DRAM": 1e6})
    found = predictor.efficiencies(ceilings)[0]
    assert found.product == "packed_dense_96x32_bias"
    # 2 * 8 * 96 * 32 operations at 1e6 per second.
    assert found.roofline_ms[-1] == pytest.approx(2 * 8 * 96 * 32 / 1e6 * 1e3)
    assert found.efficiency[-1] == pytest.approx(found.roofline_ms[-1] / found.latency_ms[-1])


def test_the_dense_twin_has_the_same_shape_and_epilogue():
    (_, job), *_ = make_baseline().products(BLOCK)
    twin = job.as_dense()
    assert (twin.kernel.name, twin.layout_rows) == ("packed_dense_96x32_bias", 0)
    assert twin.as_sparse(BLOCK) == job


def test_attention_and_norms_are_timed_where_tokens_lie_otherwise(records, process):
    target = resolve_target()
    long = dataclasses.replace(SETTING, seq_len=4 * target.lanes())
    baseline = dataclasses.replace(make_baseline(), setting=long)
    dense, wide = (choose_layout(1, long.seq_len, target, rows) for rows in (0, 32))
    kinds = {job.kernel.kind for job in needed_jobs(baseline, [(32, 1)])}
    assert ("attention" in kinds) == (dense != wide)
    assert kinds >= {"sparse_dense", "packed_dense"}
