"""TensorFlow's classes against PyTorch's numbers: where they err, builds checked with them err."""

from __future__ import annotations

import numpy as np
import pytest
from pytorch_truth import read_truth, sample, write_checkpoint
from small_models import CASES, VARIANTS

from tvm_sparse.config.model import ModelSpec
from tvm_sparse.importers.full_config import full_config
from tvm_sparse.importers.tensorflow.graphdef import input_signature, run_reference
from tvm_sparse.importers.tensorflow.huggingface import load_model
from tvm_sparse.sources.source import resolve_source

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.mark.parametrize("case", [*CASES, *VARIANTS])
def test_tensorflow_matches_pytorch(case, tmp_path):
    write_checkpoint(tmp_path, case)
    truth = read_truth(case)
    inputs = {name: np.array(value, np.int32) for name, value in truth["inputs"].items()}
    batch, seq_len = inputs["input_ids"].shape
    spec = ModelSpec(str(tmp_path), batch=batch, seq_len=seq_len)
    model = load_model(resolve_source(spec), 0)
    # Those that the model's own tokenizer gives.
    taken = input_signature(model, full_config(model), batch, seq_len)
    assert [tensor.name for tensor in taken] == list(inputs)
    results = run_reference(model, inputs)
    assert results.keys() == truth["outputs"].keys()
    for name, wanted in truth["outputs"].items():
        assert list(results[name].shape) == wanted["shape"]
        np.testing.assert_allclose(
            sample(results[name]), wanted["sample"], rtol=1e-3, atol=1e-4, err_msg=name
        )
