"""Models made of parts, for tests that import none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tvm_sparse.config.model import ModelSpec
from tvm_sparse.model.facts import ModelFacts, TensorSpec, WeightsFacts
from tvm_sparse.model.layer import Layer
from tvm_sparse.model.model import Model, Reference

Arrays = Mapping[str, np.ndarray]

FACTS = ModelFacts(
    name="made",
    architecture="BertModel",
    task="encoder",
    config={"model_type": "bert"},
    weights=WeightsFacts("random", "00", "seeded", "seeded random weights (seed 0)"),
    inputs=(TensorSpec("input_ids", (1, 128), "int32"),),
    outputs=(TensorSpec("last_hidden_state", (1, 128, 32), "float32"),),
    spec=ModelSpec("made", micro_batch=1),
    versions={},
    key="0123",
)


def make_model(
    params: Arrays,
    layers: Sequence[Layer] = (),
    mod: Any = None,
    inputs: Arrays | None = None,
    outputs: Arrays | None = None,
    **facts: Any,
) -> Model:
    """A model of these parts, its weights the original ones; `facts` are changes of `FACTS`."""
    signature: dict[str, Any] = {
        name: tuple(TensorSpec(n, value.shape, str(value.dtype)) for n, value in arrays.items())
        for name, arrays in (("inputs", inputs), ("outputs", outputs))
        if arrays is not None
    }
    reference = Reference(params, inputs or {}, outputs or {})
    flops = sum(layer.flops for layer in layers)
    return Model(replace(FACTS, **signature, **facts), mod, params, list(layers), flops, reference)
