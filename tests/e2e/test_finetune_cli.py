"""`tvm-sparse prune --finetune distill` on a small checkpoint, interrupted and taken up again."""

from __future__ import annotations

import json
import signal
import time

import numpy as np
import pytest
from command_line import Sandbox
from safetensors.numpy import load_file
from tiny_bert import CONFIG, TEXTS, bert_tensors, write_checkpoint

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
_STEPS = 600
_WAIT_S = 240


def test_a_training_that_is_interrupted_goes_on(tmp_path):
    dense = bert_tensors(CONFIG)
    checkpoint = write_checkpoint(tmp_path / "dense", dense, CONFIG)
    text = tmp_path / "texts.txt"
    text.write_text("\n".join(TEXTS * 3) + "\n")
    output, state = tmp_path / "pruned", tmp_path / "pruned.training" / "state.safetensors"
    sandbox = Sandbox(tmp_path / "sandbox")
    arguments = (
        *("prune", checkpoint, "-o", output, "--method", "magnitude", "--sparsity", 0.6),
        *("--bs-r", 2, "--seq-len", 16, "--threads", 1, "--cache-dir", tmp_path / "cache"),
        *("--finetune", "distill", "--finetune-text", text, "--finetune-steps", _STEPS),
    )
    process = sandbox.popen(*arguments)
    deadline = time.monotonic() + _WAIT_S
    while not state.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=_WAIT_S)
    assert process.returncode == 130, err
    assert "the same command goes on there" in err
    assert err.strip().splitlines()[-1] == "interrupted"
    assert not output.exists()
    assert sandbox.processes() == []

    done = sandbox.run(*arguments)
    assert done.returncode == 0, done.stderr
    assert "pruned weights taken from" in done.stderr
    assert "going on with the training from step" in done.stderr
    assert f"trained for {_STEPS} steps" in done.stdout
    assert not state.parent.exists()

    report = json.loads((output / "pruning.json").read_text())
    training = report["finetune"]["training"]
    assert 0 < training["resumed_at"] < _STEPS == training["steps"]
    assert training["held_out_loss_after"] < training["held_out_loss_before"]
    trained = load_file(output / "model.safetensors")
    assert trained.keys() == dense.keys()
    for name, value in trained.items():
        pruned = value.ndim == 2 and name.startswith("encoder")
        assert np.mean(value == 0) == pytest.approx(0.6 if pruned else 0.0, abs=0.01)
        if pruned:  # by blocks of two rows
            np.testing.assert_array_equal(value[::2] == 0, value[1::2] == 0)
        changed = name.startswith("encoder")  # neither embeddings nor a pooler no loss reads
        assert np.array_equal(value, dense[name]) != changed


def test_flags_that_belong_together(tmp_path):
    checkpoint = write_checkpoint(tmp_path / "dense", bert_tensors(CONFIG), CONFIG)
    sandbox = Sandbox(tmp_path / "sandbox")
    base = ("prune", checkpoint, "-o", tmp_path / "out", "--sparsity", 0.5)
    for more, message in (
        (("--finetune-text", "texts.txt"), "--finetune-text given without --finetune"),
        (("--finetune", "distill", "--finetune-steps", 0), "steps 0 given"),
        (("--finetune", "distill", "--learning-rate", 0), "learning rate 0 given"),
        (("--finetune", "distill", "--finetune-text", tmp_path / "none"), "cannot be read"),
    ):
        done = sandbox.run(*base, *more)
        assert done.returncode == 2
        assert message in done.stderr
