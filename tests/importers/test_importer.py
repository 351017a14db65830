"""A checkpoint that holds more or less than its model: what is left out, named and refused."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_bert import CONFIG, bert_tensors, write_checkpoint

from tvm_sparse.config.model import ModelSpec
from tvm_sparse.errors import CheckpointError
from tvm_sparse.importers.tensorflow.importer import import_model
from tvm_sparse.model.facts import WeightGaps
from tvm_sparse.progress import silent
from tvm_sparse.sources.source import resolve_source

pytestmark = pytest.mark.e2e

POOLER = ("pooler.dense.weight", "pooler.dense.bias")


def load(directory):
    spec = ModelSpec(str(directory), seq_len=8)
    return import_model(spec, resolve_source(spec), silent)


@pytest.fixture
def without_pooler() -> dict[str, np.ndarray]:
    tensors = bert_tensors(CONFIG)
    for name in POOLER:
        del tensors[name]
    return tensors


def test_an_output_that_would_be_made_up_is_left_out(without_pooler, tmp_path):
    tensors = {**without_pooler, "cls.seq_relationship.bias": np.zeros(2, np.float32)}
    imported = load(write_checkpoint(tmp_path / "model", tensors, CONFIG))
    assert [output.name for output in imported.outputs] == ["last_hidden_state"]
    assert list(imported.output_values) == ["last_hidden_state"]
    assert not any("pooler" in name for name in imported.params)
    assert all(np.isfinite(value).all() for value in imported.params.values())
    missing = tuple(f"bert.{name}" for name in POOLER)
    gaps = WeightGaps(missing, ("pooler_output",), ("cls.seq_relationship.bias",))
    assert imported.gaps == gaps
    assert str(gaps) == (
        "pooler_output left out, for want of bert.pooler.dense.weight, bert.pooler.dense.bias; "
        "not used: cls.seq_relationship.bias"
    )


def test_a_classifier_over_a_made_up_pooler_is_refused(without_pooler, tmp_path):
    config = {**CONFIG, "architectures": ["BertForSequenceClassification"]}
    tensors = {
        **{f"bert.{name}": value for name, value in without_pooler.items()},
        "classifier.weight": np.ones((2, 32), np.float32),
        "classifier.bias": np.zeros(2, np.float32),
    }
    directory = write_checkpoint(tmp_path / "model", tensors, config)
    message = (
        r"lacks 2 weights that logits of .* \(first bert.pooler.dense.weight.*--weights random"
    )
    with pytest.raises(CheckpointError, match=message) as caught:
        load(directory)
    assert "\n" not in str(caught.value)
