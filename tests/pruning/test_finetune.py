"""Which models are trained."""

from __future__ import annotations

from dataclasses import replace

import pytest
from made_models import make_model
from pt2_archives import needs_torch

from tvm_sparse.errors import ConfigError
from tvm_sparse.model.model import Model
from tvm_sparse.pruning.finetune import check_trains

pytestmark = pytest.mark.unit


def through(importer: str, **config: int) -> Model:
    model = make_model({}, config={"model_type": "bert", **config})
    return replace(model, facts=replace(model.facts, spec=model.spec.with_(importer=importer)))


@pytest.mark.parametrize("importer", ["tensorflow", pytest.param("torch", marks=needs_torch)])
def test_checkpoints_are_trained_where_they_came_through(importer):
    check_trains(through(importer, vocab_size=32))


def test_what_no_framework_trains_is_refused_with_the_way_out():
    with pytest.raises(ConfigError, match=r"made came through ONNX Runtime.*without --finetune"):
        check_trains(through("onnx", vocab_size=32))
    with pytest.raises(ConfigError, match="which takes no text"):
        check_trains(through("tensorflow"))
