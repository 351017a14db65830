"""What is said of a model before it is asked: facts of its build, and a record beside it."""

from __future__ import annotations

import pytest
from example_record import WEIGHTS

from tvm_sparse.bench.environment import detect_environment
from tvm_sparse.fidelity.record import EvaluatedModel, EvaluationRecord
from tvm_sparse.records.write import write_json
from tvm_sparse.runtime.metadata import load_metadata
from tvm_sparse.serve.cards import EVALUATION_FILE, Fidelity, make_card

pytestmark = pytest.mark.unit


def card(artifact, directory):
    metadata = load_metadata(artifact)
    return make_card("one", "sentence-embedding", "/predict/one", metadata, directory, 1)


def test_a_model_and_its_fidelity(artifacts, tmp_path) -> None:
    found = card(artifacts["encoder"], tmp_path)
    assert (found.model, found.build, found.sparsity, found.blocks) == ("tiny", "dense", 0.0, ())
    assert (found.longest, found.mask, found.fidelity, found.fault) == (24, "[MASK]", None, "")
    assert found.weights_bytes == load_metadata(artifacts["encoder"]).weights_bytes
    sides = (EvaluatedModel(name, "model", WEIGHTS, seeded=False) for name in ("big", "small"))
    record = EvaluationRecord(
        task="encoder",
        reference=next(sides),
        candidate=next(sides),
        measures={"loss": 0.1, "cosine_mean": 0.9},
        texts=40,
        truncated=0,
        seq_len=64,
        seconds=1.0,
        environment=detect_environment(1),
    )
    write_json(tmp_path / EVALUATION_FILE, record)
    assert card(artifacts["encoder"], tmp_path).fidelity == Fidelity(
        0.9, "cosine of embeddings", "big", 40
    )


def test_a_damaged_record_is_told_and_the_model_served(artifacts, tmp_path) -> None:
    (tmp_path / EVALUATION_FILE).write_text("{")
    found = card(artifacts["encoder"], tmp_path)
    assert found.fidelity is None
    assert str(tmp_path / EVALUATION_FILE) in found.fault
