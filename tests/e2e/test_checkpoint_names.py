"""What we write loads in transformers under every head: no weight is missing, none is strange.

PyTorch's own classes (2.13, tried by hand) load the same files. What their state dicts have besides
are weights they tie (the decoders of language models) and ResNet's counts of training steps.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from example_pruning import example_report
from small_models import CASES, RESNET, VIT, small_config

from tvm_sparse.config.model import ModelSpec
from tvm_sparse.importers.tensorflow.from_graphdef import import_graph
from tvm_sparse.importers.tensorflow.graphdef import freeze, input_signature, variable_name
from tvm_sparse.importers.tensorflow.huggingface import load_model
from tvm_sparse.model.facts import ModelDescription
from tvm_sparse.model.names import torch_name
from tvm_sparse.model.torch_checkpoint import write_torch_checkpoint
from tvm_sparse.pruning.write_checkpoint import write_checkpoint
from tvm_sparse.sources.presets import load_presets
from tvm_sparse.sources.source import resolve_source

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

HEADS = (
    *("Model", "ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering"),
    "ForMaskedLM",
)
#: One preset of each family; the others differ in size alone.
FAMILIES = {
    preset.architecture.split("For")[0].removesuffix("Model"): small_config(name)
    for name, preset in load_presets().items()
    if name in CASES
}
ARCHITECTURES = {
    **{f"{family}{head}": config for family, config in FAMILIES.items() for head in HEADS},
    **{f"ViT{head}": VIT for head in ("Model", "ForImageClassification")},
    **{f"ResNet{head}": RESNET for head in ("Model", "ForImageClassification")},
}


@pytest.fixture(params=ARCHITECTURES)
def architecture(request: pytest.FixtureRequest) -> str:
    import tensorflow as tf

    tf.keras.backend.clear_session()
    return request.param


def test_every_weight_goes_out_and_comes_back(architecture: str, tmp_path: Path) -> None:
    from transformers.modeling_tf_pytorch_utils import convert_tf_weight_name_to_pt_weight_name

    config = {**ARCHITECTURES[architecture], "architectures": [architecture]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    layers = None if architecture.startswith("ResNet") else 1
    source = resolve_source(
        ModelSpec(str(tmp_path), weights="random", seq_len=4, num_layers=layers)
    )
    model = load_model(source, seed=0)
    assert type(model).__name__ == f"TF{architecture}"
    for variable in model.variables:
        theirs, _ = convert_tf_weight_name_to_pt_weight_name(
            variable.name, tf_weight_shape=variable.shape
        )
        theirs = theirs.replace("moving_mean", "running_mean")
        theirs = theirs.replace("moving_variance", "running_var")
        assert torch_name(variable_name(model, variable)) == theirs

    _, params = import_graph(freeze(model, input_signature(model, source.config, 1, 4)))
    pruned = {
        name: np.where(value > 0, value, 0) if name.endswith("kernel") else value
        for name, value in params.items()
    }
    description = ModelDescription("small", architecture, source.task, source.config)
    write_torch_checkpoint(tmp_path / "torch", description, params)
    model.save_pretrained(tmp_path / "tensorflow", safe_serialization=True)
    for form in ("torch", "tensorflow"):
        out = write_checkpoint(
            tmp_path / form, tmp_path / f"pruned {form}", params, pruned, example_report()
        )
        loaded, info = type(model).from_pretrained(out, output_loading_info=True)
        assert not any(info.values()), info
        found = {variable_name(loaded, v): v.numpy() for v in loaded.variables}
        for name, value in pruned.items():
            np.testing.assert_array_equal(found[name], value, err_msg=f"{form} {name}")
