"""Training a pruned model with TensorFlow, and what all frameworks share."""

from dataclasses import asdict

import numpy as np
import pytest

from tvm_sparse.config.model import ModelSpec
from tvm_sparse.errors import ConfigError
from tvm_sparse.sources.source import resolve_source
from tvm_sparse.training.distill import DistillSpec, Student, distill
from tvm_sparse.training.loop import rows_of_step, train
from tvm_sparse.training.state import STATE_FILE, TrainingState, load_state, save_state

SPEC = DistillSpec(steps=6, batch=4, learning_rate=1e-3, checkpoint_steps=2, held_out=0.2)


def tokens(count=20, seq_len=8):
    rng = np.random.default_rng(0)
    ids = rng.integers(1, 96, (count, seq_len)).astype(np.int32)
    mask = np.ones_like(ids)
    mask[::3, 5:] = 0
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}


def models(config_dir, **changes):
    """Return the dense model and a pruned copy, its weights, and what was pruned."""
    from tvm_sparse.importers.tensorflow.huggingface import load_model
    from tvm_sparse.importers.tensorflow.quiet_tensorflow import import_transformers
    from tvm_sparse.training.tensorflow.training import assign_params, named_variables

    import_transformers()
    directory = config_dir(hidden_size=16, intermediate_size=32, **changes)
    source = resolve_source(ModelSpec(str(directory), seq_len=8))
    teacher, student = load_model(source, 0), load_model(source, 0)
    params = {name: v.numpy() for name, v in named_variables(student).items()}
    masked = [n for n in params if n.endswith("kernel") and "encoder" in n]
    rng = np.random.default_rng(1)
    for name in masked:
        params[name] = np.where(rng.random(params[name].shape) < 0.6, 0, params[name] * 4)
    assign_params(student, params)
    return teacher, student, params, masked


@pytest.mark.e2e
@pytest.mark.parametrize(
    "architecture",
    ["BertModel", "BertForQuestionAnswering", "BertForMaskedLM"],
)
def test_training_brings_the_models_together_and_keeps_the_zeros(
    config_dir, tmp_path, architecture
):
    from tvm_sparse.training.tensorflow.training import TensorFlowTraining, named_variables

    teacher, student, params, masked = models(config_dir, architectures=[architecture])
    before = {name: v.numpy() for name, v in named_variables(teacher).items()}
    training = TensorFlowTraining(student, teacher, masked, SPEC.learning_rate, 30)
    lines = []
    spec = asdict(SPEC) | {"steps": 30}
    facts = train(training, tokens(), spec, tmp_path, "key", lines.append)
    assert facts.held_out_loss_after < 0.9 * facts.held_out_loss_before
    assert facts.losses[-1][0] == facts.steps == 30
    assert "training step 30 of 30, loss" in lines[-1]
    after = {name: v.numpy() for name, v in named_variables(student).items()}
    for name, value in params.items():
        if name in masked:
            np.testing.assert_array_equal(after[name] == 0, value == 0)
            assert not np.array_equal(after[name], value)
        elif "embeddings" in name.split("/"):
            np.testing.assert_array_equal(after[name], value)
    for name, value in named_variables(teacher).items():
        np.testing.assert_array_equal(value.numpy(), before[name])


@pytest.mark.e2e
def test_an_interrupted_training_ends_as_one_that_was_not(config_dir, tmp_path):
    from tvm_sparse.training.tensorflow.training import TensorFlowTraining, assign_params

    teacher, student, params, masked = models(config_dir)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir(), parts.mkdir()

    def run(directory, progress=lambda line: None):
        assign_params(student, params)
        training = TensorFlowTraining(student, teacher, masked, SPEC.learning_rate, SPEC.steps)
        facts = train(training, tokens(), asdict(SPEC), directory, "key", progress)
        return facts, {name: v.numpy() for name, v in training.variables.items()}

    wanted_facts, wanted = run(whole)

    class Stop(Exception):
        pass

    def interrupt(directory, step):
        import tvm_sparse.training.loop as loop

        saved = loop.save_state

        def save_and_stop(state, *rest):
            saved(state, *rest)
            if state.step == step:
                raise Stop

        loop.save_state = save_and_stop
        try:
            with pytest.raises(Stop):
                run(directory)
        finally:
            loop.save_state = saved

    interrupt(parts, 4)
    lines = []
    facts, found = run(parts, lines.append)
    assert lines[0] == "going on with the training from step 4 of 6"
    assert facts.resumed_at == 4
    assert facts.held_out_loss_before == wanted_facts.held_out_loss_before
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5, atol=1e-7)


@pytest.mark.unit
def test_too_few_texts_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="5 texts given"):
        distill(Student(None, "torch", {}, []), tokens(5), SPEC, tmp_path)


@pytest.mark.unit
@pytest.mark.parametrize(
    "change",
    [{"steps": 0}, {"batch": 0}, {"learning_rate": 0.0}, {"held_out": 1.0}, {"seed": -1}],
)
def test_values_out_of_range_are_refused(change):
    with pytest.raises(ConfigError, match="given"):
        DistillSpec(**change)


@pytest.mark.unit
def test_every_pass_sees_each_text_once():
    kept = np.array([3, 5, 7, 9, 11])
    seen = np.concatenate([rows_of_step(kept, step, 2, 0) for step in range(5)])
    assert sorted(seen[:5]) == sorted(seen[5:]) == kept.tolist()
    assert seen[:5].tolist() != seen[5:].tolist()
    np.testing.assert_array_equal(rows_of_step(kept, 3, 2, 0), seen[6:8])


@pytest.mark.unit
def test_only_a_whole_checkpoint_of_the_same_training_is_continued(tmp_path):
    shapes = {"value/a": (2,)}
    state = TrainingState(5, {"value/a": np.ones(2, np.float32)}, [(5, 0.25)], 0.5)
    assert load_state(tmp_path, "key", shapes).step == 0
    save_state(state, tmp_path, "key")
    found = load_state(tmp_path, "key", shapes)
    assert (found.step, found.losses, found.held_out_before) == (5, [(5, 0.25)], 0.5)
    np.testing.assert_array_equal(found.arrays["value/a"], 1)
    assert load_state(tmp_path, "another", shapes).step == 0
    assert load_state(tmp_path, "key", {"value/a": (3,)}).step == 0
    content = (tmp_path / STATE_FILE).read_bytes()
    (tmp_path / STATE_FILE).write_bytes(content[:-3])
    assert load_state(tmp_path, "key", shapes).step == 0
    assert [path.name for path in tmp_path.iterdir()] == [STATE_FILE]
