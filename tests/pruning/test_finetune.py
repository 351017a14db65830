"""Which models are trained."""

from __future__ import annotations

from dataclasses import replace

import pytest
from made_models import make_model

from tvm_sparse.errors import ConfigError
from tvm_sparse.pruning.finetune import check_trains

pytestmark = pytest.mark.unit


def test_what_did_not_come_through_tensorflow_is_refused_with_the_way_out():
    model = make_model({})
    check_trains(model)
    model = replace(model, reference=replace(model.reference, framework="PyTorch"))
    with pytest.raises(ConfigError, match=r"made came through PyTorch.*without --finetune"):
        check_trains(model)
