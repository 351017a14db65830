from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from made_models import make_model
from peers_record import engine_result, peers_record
from tiny_artifact import tiny_inputs, tiny_reference

from tvm_sparse.bench.peers import distilbert
from tvm_sparse.bench.peers.checkpoint import read_config, read_inputs, write_checkpoint
from tvm_sparse.bench.peers.compare import compare, max_error, prepare_engines, run_once
from tvm_sparse.bench.peers.contender import Contender, own_build, peer
from tvm_sparse.bench.peers.engine import ENGINES, Engine, find_engines
from tvm_sparse.bench.peers.process import PeerProcess
from tvm_sparse.bench.peers.product import PRODUCT_ENGINES, Product
from tvm_sparse.bench.peers.record import best_rival, load_peers_record, summarise
from tvm_sparse.config.bench import BenchSpec
from tvm_sparse.errors import BuildError, ConfigError
from tvm_sparse.records.write import write_json
from tvm_sparse.sparsity.patterns import fill_random

pytestmark = pytest.mark.unit

QUICK = BenchSpec(iterations=3, warmup_s=0.01)
ABSENT = Engine("absent", "An absent engine", "absent", ("tvm-sparse-has-no-such-peer",))


def silent(text: str, share: float) -> None:
    pass


DISTILBERT_LAYER = "transformer.layer.3"


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("embeddings.LayerNorm.weight", "embeddings.LayerNorm.weight"),
        (f"{DISTILBERT_LAYER}.attention.q_lin.bias", "encoder.layer.3.attention.self.query.bias"),
        (
            f"{DISTILBERT_LAYER}.attention.out_lin.weight",
            "encoder.layer.3.attention.output.dense.weight",
        ),
        (
            f"{DISTILBERT_LAYER}.sa_layer_norm.weight",
            "encoder.layer.3.attention.output.LayerNorm.weight",
        ),
        (f"{DISTILBERT_LAYER}.ffn.lin1.bias", "encoder.layer.3.intermediate.dense.bias"),
        (f"{DISTILBERT_LAYER}.ffn.lin2.weight", "encoder.layer.3.output.dense.weight"),
        (f"{DISTILBERT_LAYER}.output_layer_norm.bias", "encoder.layer.3.output.LayerNorm.bias"),
    ],
)
def test_what_bert_calls_the_parameters_of_distilbert(name: str, wanted: str) -> None:
    assert distilbert.bert_name(name) == wanted


def test_a_distilbert_below_a_head_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distilbert, "as_bert", lambda encoder: ("as a BERT", encoder))
    encoder = type("DistilBertModel", (), {})()
    assert distilbert.with_bert(encoder) == ("as a BERT", encoder)
    head = type("DistilBertForMaskedLM", (), {})()
    head.distilbert = encoder
    assert distilbert.with_bert(head) is head
    assert head.distilbert == ("as a BERT", encoder)
    other = type("BertModel", (), {})()
    assert distilbert.with_bert(other) is other


def test_a_checkpoint_directory(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    kernel = np.arange(6, dtype=np.float32).reshape(2, 3)
    inputs = {"input_ids": np.ones((1, 4), np.int32)}
    model = make_model({"bert/pooler/dense/kernel": kernel}, inputs=inputs)
    write_checkpoint(tmp_path / "new", model)
    weights = load_file(tmp_path / "new" / "model.safetensors")
    np.testing.assert_array_equal(weights["pooler.dense.weight"], kernel.T)
    assert read_config(tmp_path / "new") == {"model_type": "bert", "architectures": ["BertModel"]}
    np.testing.assert_array_equal(read_inputs(tmp_path / "new")["input_ids"], inputs["input_ids"])


def test_an_unknown_engine() -> None:
    assert [engine.name for engine in find_engines(["torch", "openvino"])] == ["torch", "openvino"]
    with pytest.raises(ConfigError, match=r"engine 'deepsparse' given: use one of onnxruntime"):
        find_engines(["torch", "deepsparse"])


def test_every_engine_has_a_module() -> None:
    room = Path(__file__).parents[2] / "tvm_sparse/bench/peers"
    for engine in (*ENGINES.values(), *PRODUCT_ENGINES.values()):
        for module in (engine.module, *engine.prepares):
            assert (room / f"{module}.py").is_file(), module


def test_an_engine_that_is_not_installed_is_a_result() -> None:
    contender = peer(ABSENT, Path("nowhere"), {}, {}, "TensorFlow")
    (result,) = compare([contender], 1, QUICK, silent)
    assert result.status == "not installed"
    assert result.detail == "pip install tvm-sparse-has-no-such-peer"
    assert result.latency_ms is None
    assert prepare_engines([replace(ABSENT, prepares=("absent",))], Path("nowhere"), silent) == ""


def test_builds_are_checked_before_they_are_measured(dense_dir: Path, other_dir: Path) -> None:
    inputs, reference = tiny_inputs(), tiny_reference(tiny_inputs())
    right = own_build(dense_dir, inputs, reference, "numpy")
    wrong = own_build(other_dir, inputs, reference, "numpy", 0.5, (4, 1))
    said: list[str] = []
    results = compare([right, wrong], 2, QUICK, lambda text, share: said.append(text))
    assert [result.label for result in results] == ["tvm_sparse, dense", "tvm_sparse, 50% 4x1"]
    good, bad = results
    assert good.status == "measured"
    assert good.threads == 2
    assert good.latency_ms is not None
    assert good.latency_ms.iterations == len(good.latency_ms.samples) == 3
    assert good.max_absolute_error is not None
    assert good.max_absolute_error < 1e-5
    assert good.load_s
    assert good.peak_memory_bytes
    assert bad.status == "failed"
    assert bad.detail.startswith("differs from numpy by ")
    assert bad.latency_ms is None
    assert said.index("checking tvm_sparse, 50% 4x1") < said.index("warming up tvm_sparse, dense")
    assert "warming up tvm_sparse, 50% 4x1" not in said


def test_a_contender_that_does_not_start_is_a_result(dense_dir: Path, tmp_path: Path) -> None:
    inputs, reference = tiny_inputs(), tiny_reference(tiny_inputs())
    gone = own_build(tmp_path / "gone", inputs, reference, "numpy", 0.5, (1, 1))
    results = compare([gone, own_build(dense_dir, inputs, reference, "numpy")], 1, QUICK, silent)
    assert [result.status for result in results] == ["failed", "measured"]
    assert "no artifact directory" in results[0].detail


def product(block_shape: tuple[int, int]) -> Product:
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((32, 48)).astype(np.float32)
    if min(block_shape) > 0:
        weight = fill_random(weight, block_shape, 0.75, rng)
    return Product(weight, rng.standard_normal((5, 48)).astype(np.float32), block_shape)


@pytest.mark.parametrize(
    ("module", "name", "block_shape"),
    [
        ("scipy_product", "scipy-csr", (4, 1)),
        ("scipy_product", "scipy-bsr", (4, 1)),
        ("own_product", "", (4, 1)),
        ("own_product", "", (0, 0)),
    ],
)
def test_products_of_libraries_agree(module, name, block_shape, tmp_path: Path) -> None:
    given = product(block_shape)
    with PeerProcess(module, given.save(tmp_path), 1, name) as worker:
        worker.bind(given.inputs)
        assert max_error(worker.run(), given.reference()) < 1e-5
        assert len(worker.measure(9, max_iterations=2)) == 2
        assert worker.facts()


def test_products_side_by_side(tmp_path: Path) -> None:
    given = product((4, 1))
    directory = given.save(tmp_path)
    engine = PRODUCT_ENGINES["scipy-csr"]
    found = peer(engine, directory, given.inputs, given.reference(), "float64")
    (result,) = compare([found], 1, QUICK, silent)
    assert result.status == "measured"
    assert result.facts["stored"] == np.count_nonzero(given.weight)
    assert result.version == engine.version


def test_what_comes_out_must_have_the_right_shape() -> None:
    out = {"out": np.zeros((2, 3), np.float32)}
    assert max_error({**out, "more": np.zeros(1)}, out) == 0.0
    with pytest.raises(BuildError, match=r"output out of shape \(2, 3\) is needed, none came"):
        max_error({}, out)
    with pytest.raises(BuildError, match=r"shape \(3, 2\) came"):
        max_error({"out": out["out"].T}, out)


@pytest.mark.parametrize(("precision", "status"), [("fp32", "failed"), ("int8", "measured")])
def test_int8_may_differ(precision: str, status: str, tmp_path: Path) -> None:
    given = product((4, 1))
    directory = given.save(tmp_path)
    contender = Contender(
        engine_result("scipy", 1, None, precision=precision),
        lambda threads: PeerProcess("scipy_product", directory, threads, "scipy-csr"),
        given.inputs,
        {"out": given.reference()["out"] + 0.5},
    )
    (result,) = compare([contender], 1, QUICK, silent)
    assert result.status == status
    assert result.max_absolute_error == pytest.approx(0.5, abs=1e-5)


def test_the_statistics_of_samples() -> None:
    latency = summarise([float(value) for value in range(1, 12)], [2.00004999, 3.0])
    assert (latency.p10, latency.median, latency.p90) == (2.0, 6.0, 10.0)
    assert (latency.mean, latency.min, latency.iterations) == (6.0, 1.0, 11)
    assert latency.round_median == (2.0, 3.0)


def test_the_best_rival_is_open_dense_and_fp32() -> None:
    record = peers_record()
    assert best_rival(record.at(1)).name == "openvino"  # type: ignore[union-attr]
    assert best_rival(record.at(2)).name == "onnxruntime"  # type: ignore[union-attr]
    assert best_rival([]) is None


def test_a_record_survives_its_file(tmp_path: Path) -> None:
    record = peers_record()
    path = tmp_path / "new" / "record.json"
    write_json(path, record)
    assert load_peers_record(path) == record


def test_published_records_are_read() -> None:
    folder = Path(__file__).parents[2] / "docs" / "benchmarks"
    others = ("roofline", "serving")  # of other kinds
    records = [
        path for path in folder.glob("*.json") if not any(word in path.name for word in others)
    ]
    assert records
    for path in records:
        assert best_rival(load_peers_record(path).results) is not None


def test_records_of_others_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    document = asdict(peers_record())
    del document["results"][0]["label"]
    write_json(path, document)
    with pytest.raises(ConfigError, match=r"results\[0\]: .* label: give a file that"):
        load_peers_record(path)


@pytest.mark.slow
@pytest.mark.e2e
def test_tensorflow_reads_the_checkpoint_of_an_imported_model(tmp_path: Path) -> None:
    from tvm_sparse.api.models import load_model

    model = load_model(
        "bert-tiny", weights="random", seq_len=8, num_layers=1, cache_dir=tmp_path / "cache"
    )
    checkpoint = write_checkpoint(tmp_path / "checkpoint", model)
    outputs = run_once(ENGINES["tensorflow"], checkpoint, model.reference.inputs)
    assert max_error(outputs, model.reference.outputs) < 1e-5
