"""Train a pruned model to give the dense one's outputs again, its zeros held fixed.

Distillation needs no labels: the dense model says what is right (Hinton et al. 2015, "Distilling
the knowledge in a neural network"), at every layer (Sun et al. 2019, "Patient knowledge
distillation for BERT model compression"). The framework that the model came through does the
training, in a child process.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from tvm_sparse.errors import BuildError, ConfigError
from tvm_sparse.importers.registry import OFFLINE
from tvm_sparse.processes.child import call
from tvm_sparse.processes.temporary import temporary_directory
from tvm_sparse.progress import Progress, silent
from tvm_sparse.records.read import check_record
from tvm_sparse.sources.source import ModelSource
from tvm_sparse.training.facts import TrainingFacts
from tvm_sparse.training.registry import TRAINERS
from tvm_sparse.training.state import PARAMS_FILE, TOKENS_FILE

#: Fewer texts than this leave nothing to hold out.
_LEAST_TEXTS = 8


@dataclass(frozen=True)
class DistillSpec:
    """How long and how fast to train.

    Parameters
    ----------
    steps, batch : int
        Number of updates, and texts in each.
    learning_rate : float
        Adam's at the start; it falls to zero in a straight line.
    checkpoint_steps : int
        Steps after which the state is saved.
    held_out : float
        Share of the texts that are not trained on but judged by, 0..1.
    seed : int
        Of the order of the texts.
    """

    steps: int = 200
    batch: int = 16
    learning_rate: float = 2e-4
    checkpoint_steps: int = 10
    held_out: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "checkpoint_steps"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} {getattr(self, name)} given: it must be at least 1")
        if not 0 < self.learning_rate < 1:
            raise ConfigError(
                f"learning rate {self.learning_rate:g} given: it must be over 0 and under 1"
            )
        if not 0 < self.held_out < 1:
            raise ConfigError(f"held-out share {self.held_out:g} given: use a fraction like 0.1")
        if self.seed < 0:
            raise ConfigError(f"seed {self.seed} given: it must be 0 or more")


@dataclass(frozen=True)
class Student:
    """A pruned model that is to be trained, and the dense one that teaches it.

    Attributes
    ----------
    source : ModelSource
        The dense model, as `resolve_source` returns it.
    importer : str
        What imported it, a key of `registry.TRAINERS`.
    params : mapping of str to ndarray
        The pruned weights by name, as imported; not changed.
    masked : collection of str
        The weights whose zeros stay zero.
    """

    source: ModelSource
    importer: str
    params: Mapping[str, np.ndarray]
    masked: Collection[str]


@dataclass(frozen=True)
class Distilled:
    """A trained model: all weights, under the names and in the order in which they came."""

    params: dict[str, np.ndarray]
    facts: TrainingFacts


def distill(
    student: Student,
    tokens: Mapping[str, np.ndarray],
    spec: DistillSpec,
    state_dir: Path,
    threads: int | None = None,
    progress: Progress = silent,
) -> Distilled:
    """Train pruned weights against the model they come from.

    An interrupted training goes on from its last checkpoint when it is started again with the same
    arguments; the caller removes `state_dir` when it has kept the result.

    Parameters
    ----------
    student : Student
        The pruned model, and whence the dense one comes.
    tokens : mapping of str to ndarray
        `input_ids`, `attention_mask`, `token_type_ids`, int32 (texts, seq_len).
    spec, state_dir
        Steps, batch, learning rate; receives the checkpoints.
    threads, progress
        Threads to train on, every core by default; receives one line a step of the work, losses
        among them.

    Raises
    ------
    ConfigError
        There are too few texts.
    CheckpointError
        The student's are no weights of this model.
    BuildError
        The training failed.
    """
    count = len(tokens["input_ids"])
    if count < _LEAST_TEXTS:
        raise ConfigError(
            f"{count} texts given to train on: at least {_LEAST_TEXTS} are needed, some hundreds "
            "are better"
        )
    from safetensors.numpy import load_file, save_file

    state_dir.mkdir(parents=True, exist_ok=True)
    with temporary_directory() as place:
        arrays = {name: np.ascontiguousarray(value) for name, value in student.params.items()}
        save_file(arrays, place / PARAMS_FILE)
        np.savez(place / TOKENS_FILE, **tokens)  # type: ignore[arg-type]
        request = {
            "source": asdict(student.source),
            "masked": sorted(student.masked),
            "spec": asdict(spec),
            "directory": str(place),
            "state_dir": str(state_dir),
            "threads": threads,
            "key": _key(student, tokens, spec),
        }
        worker = TRAINERS[student.importer]
        facts = call(worker, "trains the model", request, OFFLINE, progress)
        trained = load_file(place / PARAMS_FILE)
    return Distilled(
        {name: trained[name] for name in student.params},
        check_record(facts, TrainingFacts, "the result of the training", BuildError),
    )


def _key(student: Student, tokens: Mapping[str, np.ndarray], spec: DistillSpec) -> str:
    """Return a hash of all that a training depends on: only its own checkpoints continue it."""
    basis = [student.source.fingerprint, student.importer, sorted(student.masked), asdict(spec)]
    digest = hashlib.sha256(json.dumps(basis, sort_keys=True).encode())
    for arrays in (student.params, tokens):
        for name in sorted(arrays):
            digest.update(name.encode() + np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()
