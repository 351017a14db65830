"""The search of tiles: what it tries, what it takes, and what it keeps."""

from __future__ import annotations

import contextlib
from dataclasses import asdict

import pytest

from tvm_sparse.cache.store import Cache
from tvm_sparse.formats.bsr_tiles import LOOKAHEAD_STEPS
from tvm_sparse.formats.builds import DENSE, SPARSE, build_of
from tvm_sparse.kernel_facts import Epilogue, KernelFacts
from tvm_sparse.model.layer import Layer
from tvm_sparse.report.tiles_table import describe_tiles
from tvm_sparse.runtime.metadata import KernelCall
from tvm_sparse.target import resolve_target
from tvm_sparse.tuning import races as races_room
from tvm_sparse.tuning.kernel_job import KernelJob, read_jobs
from tvm_sparse.tuning.records import Records
from tvm_sparse.tuning.tune import products_of, tune_build
from tvm_sparse.tuning.tuned_build import TunedBuild

pytestmark = pytest.mark.unit

LAYER = "bert/encoder/layer_._0"
BIAS, GELU = Epilogue(bias=True), Epilogue(bias=True, activation="gelu_tanh")
SQUARE = KernelJob(KernelFacts("packed_dense", 96, 96, epilogue=BIAS), 1, 48)
TALL = KernelJob(KernelFacts("packed_dense", 192, 96, epilogue=GELU), 1, 48)


@pytest.fixture
def records(cache_dir) -> Records:
    return Records(Cache(cache_dir))


class FakeRaces:
    """Stands for the measuring process: every tile takes what `time_ms` says."""

    def __init__(self, time_ms) -> None:
        self.time_ms, self.num_asked = time_ms, 0

    def ask(self, request):
        self.num_asked += 1
        return [self.time_ms(job) for job in read_jobs(request["jobs"])]


@pytest.fixture
def races(monkeypatch):
    def install(time_ms) -> FakeRaces:
        fake = FakeRaces(time_ms)
        process = contextlib.nullcontext(fake)
        monkeypatch.setattr(races_room, "timing_process", lambda module, threads: process)
        return fake

    return install


def vectors_of(job: KernelJob) -> int:
    return job.tiles.tokens[0].vectors


def test_the_products_of_an_encoder():
    qkv = KernelFacts("packed_dense", 288, 96, epilogue=BIAS)
    output = KernelFacts("packed_dense", 96, 96, epilogue=Epilogue(bias=True, residual=True))
    pooler = KernelFacts("packed_dense", 96, 96, epilogue=Epilogue(bias=True, activation="tanh"))
    calls = [
        (qkv, f"{LAYER}/attention/self/query"),
        (KernelFacts("attention", 2, 48), f"{LAYER}/attention/self"),
        (output, f"{LAYER}/attention/output/dense"),
        (TALL.kernel, f"{LAYER}/intermediate/dense"),
        (pooler, "bert/pooler/dense"),
        # Weights that the compiler joined are no layer of the model.
        (pooler, "predictions/{decoder,dense}"),
    ]
    twice = [
        KernelCall(index, facts.name, layer, (f"{layer}/kernel",), facts)
        for index, (facts, layer) in enumerate(calls * 2)
    ]
    weights = (288 + 96 + 192) * 96
    layers = [Layer(f"{layer}/kernel", (96, 96)) for _, layer in calls[:4]]
    layers.append(Layer("bert/pooler/dense/kernel", (96, 96), role="pooler"))
    assert products_of(twice, layers, 3, 48, num_passes=2) == {
        KernelJob(facts, 3, 48, num_weights=weights): 2 for facts in (qkv, output, TALL.kernel)
    }


def test_all_products_get_the_token_tile_that_is_best_together(records, races):
    # The default is slower for the square product, and its calls weigh more.
    default = resolve_default()
    other = next(n for n in options() if n != default)
    times = {(96, default): 2.0, (96, other): 1.0, (192, default): 2.0, (192, other): 2.5}
    races(lambda job: times.get((job.kernel.units, vectors_of(job)), 9.0))
    tuned = tune_build({SQUARE: 3, TALL: 1}, DENSE, None, 1.0, 1, records)
    assert [(p.calls, p.before_ms, p.after_ms) for p in tuned] == [(3, 2.0, 1.0), (1, 2.0, 2.5)]
    found = TunedBuild("dense", tuple(tuned)).new_tiles
    assert found.vectors(0, 48) == other
    assert {(t.units, t.vectors) for t in found.dense} == {(96, other), (192, other)}


def test_the_table_stays_unless_the_gain_is_over_noise(records, races):
    default = resolve_default()
    races(lambda job: 1.0 if vectors_of(job) == default else 0.99)
    tuned = tune_build({SQUARE: 1, TALL: 1}, DENSE, None, 1.0, 1, records)
    assert all(product.after == product.before for product in tuned)
    assert asdict(TunedBuild("dense", tuple(tuned)).new_tiles) == {
        "tokens": (),
        "dense": (),
        "sparse": (),
    }


def test_lanes_and_then_panels_are_searched(records, races):
    def time_ms(job: KernelJob) -> float:
        (tile,) = job.tiles.sparse
        return 1.0 + (tile.lanes != 2) + 0.5 * (tile.panels != 2)

    races(time_ms)
    (tuned,) = tune_build({SQUARE: 1}, SPARSE, (1, 1), 0.05, 1, records)
    (tile,) = tuned.after.sparse
    assert (tile.lanes, tile.panels, tuned.after_ms) == (2, 2, 1.0)
    assert tuned.after.tokens[0].block_rows == 1


@pytest.mark.parametrize("wanted", [0, LOOKAHEAD_STEPS])
def test_high_blocks_look_ahead_where_it_is_faster(records, races, wanted):
    races(lambda job: 1.0 + (job.tiles.sparse[0].lookahead != wanted))
    (tuned,) = tune_build({SQUARE: 1}, SPARSE, (4, 1), 0.05, 1, records)
    assert tuned.after.sparse[0].lookahead == wanted
    assert ("looking ahead" in describe_tiles(tuned.after)) == bool(wanted)


def test_blocks_that_divide_no_product_tune_nothing(records, races):
    fake = races(lambda job: 1.0)
    assert tune_build({SQUARE: 1, TALL: 1}, SPARSE, (36, 1), 0.05, 1, records) == []
    assert fake.num_asked == 0


def test_races_are_run_once(records, races):
    fake = races(vectors_of)
    first = tune_build({SQUARE: 1, TALL: 1}, DENSE, None, 1.0, 1, records)
    asked = fake.num_asked
    assert tune_build({SQUARE: 1, TALL: 1}, DENSE, None, 1.0, 1, records) == first
    assert fake.num_asked == asked == 2


@pytest.mark.numeric
@pytest.mark.parametrize("scheme", ["", "int8", "int8-fast"])
def test_a_real_race_times_every_tile(records, scheme):
    dense, sparse = (build_of(is_sparse, scheme) for is_sparse in (False, True))
    (of_dense,) = tune_build({SQUARE: 1}, dense, None, 1.0, 1, records)
    (of_sparse,) = tune_build({SQUARE: 1}, sparse, (4, 4), 0.1, 1, records)
    for product in (of_dense, of_sparse):
        assert product.before.tokens[0].dtype == (scheme or "float32")
        assert 0 < product.after_ms <= product.before_ms
        assert product.before.tokens[0].seq_len == 48


def options() -> list[int]:
    from tvm_sparse.formats.token_layout import fitting_vectors

    return fitting_vectors(48, resolve_target())


def resolve_default() -> int:
    return options()[0]
