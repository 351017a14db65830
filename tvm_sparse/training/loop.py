"""The training loop: which texts when, checkpoints, and what is told on the way."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tvm_sparse.progress import Progress
from tvm_sparse.training.facts import TrainingFacts
from tvm_sparse.training.state import load_state, save_state
from tvm_sparse.training.training import Training

_REPORT_S = 5.0


def train(
    training: Training,
    tokens: Mapping[str, np.ndarray],
    spec: Mapping[str, Any],
    state_dir: Path,
    key: str,
    progress: Progress,
) -> TrainingFacts:
    """Train the student up to the last step, in place, and return how it went.

    `tokens` are the model's inputs, (texts, seq_len), `spec` the fields of `DistillSpec`.
    Checkpoints are in `state_dir`, those of `key` alone are continued.
    """
    texts = np.random.default_rng(spec["seed"]).permutation(len(tokens["input_ids"]))
    held_out, kept = np.split(texts, [max(1, round(len(texts) * spec["held_out"]))])
    state = load_state(state_dir, key, training.shapes)
    resumed_at = state.step
    if state.step:
        training.restore(state)
        progress(f"going on with the training from step {state.step} of {spec['steps']}")
    if state.held_out_before is None:
        state.held_out_before = _held_out_loss(training, tokens, held_out, spec["batch"])
    begun = start = said = time.monotonic()
    recent: list[float] = []
    while state.step < spec["steps"]:
        rows = rows_of_step(kept, state.step, spec["batch"], spec["seed"])
        recent.append(training.update(_features(tokens, rows)))
        if state.step == resumed_at:
            said = start = time.monotonic()  # a first step may take its time: it is traced
        state.step += 1
        last = state.step == spec["steps"]
        if time.monotonic() - said >= _REPORT_S or last:
            said = time.monotonic()
            done = max(state.step - resumed_at - 1, 1)
            left_s = (said - start) / done * (spec["steps"] - state.step)
            progress(
                f"training step {state.step} of {spec['steps']}, loss {recent[-1]:.4f}, "
                f"{left_s:.0f} s left"
            )
        if state.step % spec["checkpoint_steps"] == 0 or last:
            state.losses.append((state.step, float(np.mean(recent))))
            recent = []
            training.save(state)
            save_state(state, state_dir, key)
    return TrainingFacts(
        steps=state.step,
        resumed_at=resumed_at,
        losses=tuple(state.losses),
        held_out_loss_before=state.held_out_before,
        held_out_loss_after=_held_out_loss(training, tokens, held_out, spec["batch"]),
        seconds=time.monotonic() - begun,
        spec=dict(spec),
    )


def rows_of_step(kept: np.ndarray, step: int, batch: int, seed: int) -> np.ndarray:
    """Return the texts of one step: each pass over those `kept` in an order of its own.

    The result depends on nothing else, so that a resumed training sees what it would have.
    """
    places = np.arange(step * batch, (step + 1) * batch)
    orders = {
        epoch: np.random.default_rng([seed, epoch]).permutation(kept)
        for epoch in {int(place) // len(kept) for place in places}
    }
    return np.array([orders[int(place) // len(kept)][place % len(kept)] for place in places])


def _features(tokens: Mapping[str, np.ndarray], rows: np.ndarray) -> dict[str, np.ndarray]:
    return {name: value[rows] for name, value in tokens.items()}


def _held_out_loss(
    training: Training, tokens: Mapping[str, np.ndarray], rows: np.ndarray, batch: int
) -> float:
    # Every batch is full, the last with texts from the beginning: one shape, one trace.
    count = -(-len(rows) // batch) * batch
    rows = np.resize(rows, count)
    parts = [training.loss(_features(tokens, rows[i : i + batch])) for i in range(0, count, batch)]
    return float(np.mean(parts))
