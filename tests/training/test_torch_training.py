"""Training through PyTorch: as TensorFlow does it, of models that it alone has."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
from pt2_archives import needs_torch, run_with_torch
from small_models import small_config
from tiny_bert import CONFIG, bert_tensors, write_checkpoint

from tvm_sparse.config.model import ModelSpec
from tvm_sparse.errors import CheckpointError
from tvm_sparse.importers.torch.names import canonical_name
from tvm_sparse.records.write import json_text
from tvm_sparse.sources.source import resolve_source
from tvm_sparse.training.distill import DistillSpec, Student, distill
from tvm_sparse.training.state import STATE_FILE

pytestmark = [pytest.mark.e2e, needs_torch]

SPEC = DistillSpec(steps=6, batch=4, learning_rate=1e-3, checkpoint_steps=2, held_out=0.2)


def tokens(count=20, seq_len=8):
    rng = np.random.default_rng(0)
    ids = rng.integers(1, 30, (count, seq_len)).astype(np.int32)
    mask = np.ones_like(ids)
    mask[::3, 5:] = 0
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}


def test_both_frameworks_train_alike(tmp_path):
    """The same weights, pruned alike, on the same texts: losses agree step by step."""
    config = {**CONFIG, "architectures": ["BertForQuestionAnswering"]}
    tensors = {f"bert.{name}": value for name, value in bert_tensors(CONFIG).items()}
    head = np.random.default_rng(1).normal(0, 0.5, (2, CONFIG["hidden_size"])).astype(np.float32)
    tensors |= {"qa_outputs.weight": head, "qa_outputs.bias": head[:, 0]}
    directory = write_checkpoint(tmp_path / "bert", tensors, config)
    source = resolve_source(ModelSpec(str(directory), seq_len=8))
    pruned, same, masked = {}, {}, []
    for name, value in tensors.items():
        if ".embeddings." in name or ".pooler." in name:  # not trained, and not there
            continue
        own = canonical_name(name)
        theirs = own.replace("Norm/weight", "Norm/gamma").replace("Norm/bias", "Norm/beta")
        theirs = theirs.replace("/weight", "/kernel")
        pruned[own] = value.copy()
        if ".encoder." in name and value.ndim == 2:  # every third output
            pruned[own][::3] = 0
            masked.append((own, theirs))
        same[theirs] = pruned[own].T
    (facts, weights), (theirs, wanted) = (
        trained(Student(source, importer, params, names), tmp_path / importer)
        for importer, params, names in zip(
            ("torch", "tensorflow"), (pruned, same), zip(*masked, strict=True), strict=True
        )
    )
    assert facts.held_out_loss_after < facts.held_out_loss_before
    np.testing.assert_allclose(facts.losses, theirs.losses, rtol=1e-3)
    np.testing.assert_allclose(facts.held_out_loss_before, theirs.held_out_loss_before, rtol=1e-4)
    np.testing.assert_allclose(facts.held_out_loss_after, theirs.held_out_loss_after, rtol=1e-3)
    for own, theirs in masked:
        np.testing.assert_array_equal(weights[own] == 0, pruned[own] == 0)
        np.testing.assert_array_equal(wanted[theirs].T == 0, pruned[own] == 0)


def trained(student, state):
    """Return how a training went, and all weights, by which those given are not changed."""
    given = {name: value.copy() for name, value in student.params.items()}
    lines = []
    result = distill(student, tokens(), SPEC, state, 1, progress=lines.append)
    assert list(result.params) == list(given)
    assert any(line.startswith("training step") for line in lines)
    assert (state / STATE_FILE).is_file()
    json_text(result.facts)
    for name, value in student.params.items():
        np.testing.assert_array_equal(value, given[name])
    return result.facts, result.params


RESUMED = """
import sys
from pathlib import Path
import numpy as np
from tvm_sparse.config.model import ModelSpec
from tvm_sparse.importers.torch.export.archive import prefix_of
from tvm_sparse.importers.torch.export.huggingface import load_with_gaps
from tvm_sparse.importers.torch.export.quiet_torch import import_transformers
from tvm_sparse.importers.torch.names import canonical_name
from tvm_sparse.sources.source import resolve_source
from tvm_sparse.training import loop
from tvm_sparse.training.torch.training import begin

import_transformers()
folder, spec = Path(sys.argv[1]), eval(sys.argv[2])
source = resolve_source(ModelSpec(str(folder), seq_len=8))
model, _ = load_with_gaps(source, 0)
params = {canonical_name(name, prefix_of(model)): value.detach().numpy().copy()
          for name, value in model.named_parameters()}
masked = [name for name in params if "layers_._" in name and params[name].ndim == 2]
for name in masked:
    params[name] *= 4
    params[name][::3] = 0
tokens = dict(np.load(folder / "tokens.npz"))

def run(state):
    (folder / state).mkdir(exist_ok=True)
    training = begin(source, params, masked, spec, print)
    facts = loop.train(training, tokens, spec, folder / state, "key", print)
    return facts, training.params()

wanted_facts, wanted = run("whole")
save = loop.save_state

def save_and_stop(state, *rest):
    save(state, *rest)
    if state.step == 4:
        raise InterruptedError

loop.save_state = save_and_stop
try:
    run("parts")
except InterruptedError:
    loop.save_state = save
facts, found = run("parts")
assert (wanted_facts.resumed_at, facts.resumed_at) == (0, 4)
assert facts.held_out_loss_after < facts.held_out_loss_before == wanted_facts.held_out_loss_before
for name, value in wanted.items():
    np.testing.assert_allclose(found[name], value, rtol=1e-5, atol=1e-7, err_msg=name)
    moved = not np.array_equal(value, params[name])
    assert moved != ("embeddings" in name), name
    if name in masked:
        assert np.array_equal(value == 0, params[name] == 0), name
assert masked
"""


def test_an_interrupted_training_ends_as_one_that_was_not(tmp_path):
    config = {
        **small_config("modernbert-base"),
        "architectures": ["ModernBertForTokenClassification"],
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    np.savez(tmp_path / "tokens.npz", **tokens())
    run_with_torch(RESUMED, tmp_path, asdict(SPEC))


def test_weights_of_another_model_are_refused(tmp_path):
    directory = write_checkpoint(tmp_path / "bert", bert_tensors(CONFIG), CONFIG)
    source = resolve_source(ModelSpec(str(directory), seq_len=8))
    student = Student(source, "torch", {"bert/other": np.zeros(3, np.float32)}, [])
    with pytest.raises(CheckpointError, match="does not have it"):
        distill(student, tokens(), SPEC, tmp_path / "state", 1)
