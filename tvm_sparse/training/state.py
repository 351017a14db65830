"""The checkpoints of a training: written whole or not at all, continued by their own run alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tvm_sparse.errors import BuildError
from tvm_sparse.records.read import check_record, parse_json
from tvm_sparse.records.write import json_text

PARAMS_FILE = "params.safetensors"
TOKENS_FILE = "tokens.npz"
STATE_FILE = "state.safetensors"


@dataclass
class TrainingState:
    """How far a training is.

    `arrays` are trained variables (`value/<name>`) and Adam's two moments (`first/`, `second/`),
    `losses` steps with the mean training loss since the one before, and `held_out_before` is the
    loss on the held-out texts before the first step.
    """

    step: int = 0
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    losses: list[tuple[int, float]] = field(default_factory=list)
    held_out_before: float | None = None


@dataclass(frozen=True)
class _Facts:
    """What a checkpoint says besides its arrays, and whose it is."""

    key: str
    step: int
    losses: tuple[tuple[int, float], ...]
    held_out_before: float | None


def save_state(state: TrainingState, directory: Path, key: str) -> None:
    """Write a checkpoint over the one before; OSError if that cannot be done."""
    from safetensors.numpy import save_file

    facts = _Facts(key, state.step, tuple(state.losses), state.held_out_before)
    partial = directory / f"{STATE_FILE}.partial"
    # In one file: arrays and step can then never be of two different checkpoints.
    save_file(state.arrays, partial, metadata={"state": json_text(facts)})
    partial.replace(directory / STATE_FILE)


def load_state(directory: Path, key: str, shapes: Mapping[str, tuple[int, ...]]) -> TrainingState:
    """Return the last checkpoint of this very training, a fresh state if there is none.

    Checkpoints of another key are left alone until they are overwritten; those with other arrays
    than `shapes` are not used.
    """
    from safetensors import SafetensorError, safe_open

    path = directory / STATE_FILE
    if not path.is_file():
        return TrainingState()
    try:
        with safe_open(path, "numpy") as file:
            document = parse_json((file.metadata() or {}).get("state", ""), STATE_FILE, BuildError)
            facts = check_record(document, _Facts, STATE_FILE, BuildError)
            if facts.key != key:
                return TrainingState()
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, BuildError):
        return TrainingState()  # cut short by a full disk or a crash: begin again
    if {name: value.shape for name, value in arrays.items()} != dict(shapes):
        return TrainingState()
    return TrainingState(facts.step, arrays, list(facts.losses), facts.held_out_before)
