"""`tvm-sparse analyze` of a model, of a cached import and of an exported build."""

from __future__ import annotations

import csv
import json

import pytest
from command_line import Sandbox

from tvm_sparse.api import analysis
from tvm_sparse.api.builds import compile, export
from tvm_sparse.api.models import load_model, sparsify
from tvm_sparse.cache.store import Cache
from tvm_sparse.config.bench import BenchSpec

pytestmark = pytest.mark.e2e

SHAPE = ("--weights", "random", "--seq-len", "16")


@pytest.fixture(autouse=True)
def short_measurements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analysis, "_BENCH", BenchSpec(time_s=0.1, warmup_s=0))


@pytest.fixture(scope="module")
def exported(tiny, tmp_path_factory: pytest.TempPathFactory):
    """A sparse and a dense build of one model."""
    folder = tmp_path_factory.mktemp("analyzed")
    model = load_model(str(tiny.directory), weights="random", seq_len=16, cache_dir=tiny.cache_dir)
    pruned = sparsify(model, sparsity=0.95, block_shape=(4, 1), sparsity_threshold=0.5)
    builds = compile(pruned, threads=1)
    for build in ("sparse", "dense"):
        export(builds, folder / build, build)
    return folder


def analyze(invoke, tiny, tmp_path, *arguments):
    path = tmp_path / "analysis.json"
    result = invoke("analyze", *arguments, "--cache-dir", tiny.cache_dir, "-q", "--json", path)
    assert result.code == 0, result.err
    return result, json.loads(path.read_text())


def test_a_model_without_times(invoke, tiny, tmp_path) -> None:
    csv_path = tmp_path / "layers.csv"
    flags = (*SHAPE, "--no-time", "--bs-r", "4", "--csv", csv_path)
    result, document = analyze(invoke, tiny, tmp_path, tiny.directory, *flags)
    assert "7 layers" in result.out
    assert document["block_shape"] == [4, 1]
    assert document["totals"]["layers"] == 7
    assert document["latency_ms"] is None
    query = document["layers"][0]
    assert query["shape"] == [32, 32]
    assert query["flops"] == 2 * 16 * 32 * 32
    assert set(query["block_sparsities"]) == {"1x1", "4x1", "16x1", "32x1", "4x4"}
    rows = list(csv.DictReader(csv_path.read_text().splitlines()))
    assert [row["weight"] for row in rows] == [la["weight"] for la in document["layers"]]


def test_a_cached_import_with_times_and_predictions(invoke, tiny, tmp_path) -> None:
    (entry, *_) = Cache(tiny.cache_dir).ls("ir")
    flags = (f"ir/{entry.key[:12]}", "--threads", "1", "--bs-r", "4", "--sparsity", "0.8")
    result, document = analyze(invoke, tiny, tmp_path, *flags)
    assert document["timed_build"] == "dense"
    assert sum(document["parts_ms"].values()) == pytest.approx(document["latency_ms"])
    for layer in document["layers"]:
        assert layer["latency_ms"] > 0
        assert (layer["predicted_sparse_ms"] is not None) == layer["eligible"]
        assert layer["predicted_at_sparsity"] == (0.8 if layer["eligible"] else None)
    assert document["predicted_latency_ms"] > 0
    assert document["environment"]["threads"] == 1
    assert "predicted at 80.0% zero blocks of 4x1" in result.out


def test_what_8_bits_would_buy_and_cost(invoke, tiny, tmp_path) -> None:
    (entry, *_) = Cache(tiny.cache_dir).ls("ir")
    flags = (f"ir/{entry.key[:12]}", "--threads", "1", "--block", "4x4", "--quantize", "int8")
    flags += ("--include", "*intermediate*")  # whose kernel alone is timed at several densities
    result, document = analyze(invoke, tiny, tmp_path, *flags)
    assert document["scheme"] == "int8"
    assert document["predicted_int8_latency_ms"] > 0
    for layer in document["layers"]:
        is_rounded = layer["dtype"] == "int8"
        assert is_rounded == ("pooler" not in layer["weight"])
        assert layer["eligible"] == (layer["predicted_sparse_ms"] is not None)
        assert is_rounded != bool(layer["dtype_reason"])
        assert (layer["predicted_int8_ms"] is not None) == is_rounded
        assert layer["int8_error"] is None or 0 < layer["int8_error"] < 0.1
    assert "zero blocks of 4x4 in int8: " in result.out
    assert "predicted dense in int8: 6 layers, whose outputs are off by " in result.out


def test_an_exported_build(invoke, tiny, exported, tmp_path) -> None:
    result, document = analyze(invoke, tiny, tmp_path, exported / "sparse", "--threads", "1")
    assert document["timed_build"] == "sparse"
    assert document["block_shape"] == [4, 1]
    by_action = {layer["action"] for layer in document["layers"]}
    assert by_action == {"sparse", "dense"}
    assert all(layer["latency_ms"] > 0 for layer in document["layers"])
    assert "of the FLOPs" in result.out


def test_a_dense_exported_build(invoke, tiny, exported, tmp_path) -> None:
    _, document = analyze(invoke, tiny, tmp_path, exported / "dense", "--no-time")
    assert {layer["action"] for layer in document["layers"]} == {"dense"}
    reasons = {layer["reason"] for layer in document["layers"]}
    assert reasons == {"dense build", "head (pooler): always dense"}
    assert document["totals"]["num_params"] > 0


def test_an_exported_build_needs_no_compiler(exported, tmp_path) -> None:
    sandbox = Sandbox(tmp_path)
    poison = sandbox.poisoned("tvm", "tensorflow", "transformers", "safetensors")
    done = sandbox.run("analyze", exported / "sparse", "--threads", "1", **poison)
    assert done.returncode == 0, done.stderr
    assert sandbox.imported_poison() == ""
    assert not sandbox.processes()


def test_a_build_in_the_cache(invoke, tiny, exported, tmp_path) -> None:
    entry = next(e for e in Cache(tiny.cache_dir).ls("lib") if e.manifest["build"] == "sparse")
    _, document = analyze(invoke, tiny, tmp_path, f"lib/{entry.key[:12]}", "--no-time")
    assert document["origin"].startswith("artifact ")


@pytest.mark.parametrize("flag", [("--batch", "2"), ("--bs-r", "4"), ("--quantize", "int8")])
def test_flags_that_a_build_cannot_follow(flag, invoke, exported) -> None:
    result = invoke("analyze", exported / "sparse", *flag)
    assert result.code == 2
    assert f"{flag[0]} given" in result.err


def test_an_import_keeps_its_shape(invoke, tiny) -> None:
    (entry, *_) = Cache(tiny.cache_dir).ls("ir")
    result = invoke("analyze", f"ir/{entry.key}", "--seq-len", "8", "--cache-dir", tiny.cache_dir)
    assert result.code == 2
    assert "--seq-len given" in result.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("ir/0123456789",), "which no entry matches"),
        (("no-such-model-here",), "given: no preset"),
        (("bert-tiny", "--sparsity", "1.5"), "sparsity 1.5 given"),
        (("bert-tiny", "--bs-r", "0"), "block shape 0x1 given"),
        (("bert-tiny", "--json", "/no/such/folder/a.json"), "--json"),
        (("bert-tiny", "--csv", "/"), "--csv"),
        ((), "Missing argument 'MODEL'"),
    ],
)
def test_bad_input(arguments, message, invoke, tmp_path) -> None:
    result = invoke("analyze", *arguments, "--cache-dir", tmp_path / "cache")
    assert result.code == 2
    assert message in result.err
    assert result.out == ""
