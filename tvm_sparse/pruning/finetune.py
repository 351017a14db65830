"""Let a pruned model recover: train it against the dense one on unlabelled text."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tvm_sparse.dependencies import check_dependencies
from tvm_sparse.errors import ConfigError
from tvm_sparse.importers.registry import find_importer
from tvm_sparse.model.model import Model
from tvm_sparse.progress import Progress, silent
from tvm_sparse.pruning.calibration import load_calibration, random_calibration
from tvm_sparse.pruning.report import FinetuneFacts
from tvm_sparse.sources.source import resolve_source
from tvm_sparse.training.distill import DistillSpec, Student, distill
from tvm_sparse.training.registry import TRAINERS

#: Texts to train on, where there are more.
DEFAULT_SAMPLES = 2048


@dataclass(frozen=True)
class FinetuneSpec:
    """What a pruned model is trained on, and how.

    Attributes
    ----------
    text : str or None
        Text file, one passage a line; None takes the built-in text, which is short.
    samples : int
        Use at most so many passages.
    training : DistillSpec
        Steps, batch, learning rate.
    """

    text: str | None = None
    samples: int = DEFAULT_SAMPLES
    training: DistillSpec = field(default_factory=DistillSpec)


def check_trains(model: Model) -> None:
    """Refuse a model that no framework here trains, before any work.

    Raises
    ------
    ConfigError
        It takes no text, or came from a file that holds a graph and no class.
    DependencyError
        The framework is not installed.
    """
    importer = find_importer(model.spec.importer)
    if importer.name not in TRAINERS:
        trainers = " or ".join(find_importer(name).framework for name in TRAINERS)
        raise ConfigError(
            f"{model.facts.name} came through {importer.framework}, and models are trained with "
            f"{trainers}: prune it without --finetune, or give the checkpoint it was exported from"
        )
    if "vocab_size" not in model.facts.config:
        raise ConfigError(f"--finetune given for {model.facts.name}, which takes no text")
    check_dependencies(importer.requirements)


def finetune_params(
    model: Model,
    masked: Collection[str],
    spec: FinetuneSpec,
    state_dir: Path,
    *,
    threads: int | None = None,
    progress: Progress = silent,
) -> tuple[dict[str, np.ndarray], FinetuneFacts]:
    """Train pruned weights, their zeros held fixed.

    Parameters
    ----------
    model : Model
        With the pruned weights; not changed.
    masked : collection of str
        The weights that were pruned.
    spec : FinetuneSpec
        Text and training.
    state_dir : Path
        Receives checkpoints: the same call goes on from the last one.
    threads, progress
        Threads to train on, every core by default; receives one line a step, losses among them.

    Returns
    -------
    params : dict of str to ndarray
        The trained weights.
    facts : FinetuneFacts
        What `pruning.json` says of the training.

    Raises
    ------
    ConfigError
        The model takes no text, came from a file, or its weights changed since it was imported.
    InputError
        The text or the tokenizer cannot be used.
    BuildError
        The training failed.
    """
    check_trains(model)
    facts = model.facts
    seq_len, vocab_size = facts.spec.seq_len, int(facts.config["vocab_size"])
    source = resolve_source(facts.spec, progress)
    if source.fingerprint != facts.weights.fingerprint:
        raise ConfigError(f"the weights of {facts.name} changed on disk meanwhile: start again")
    if source.kind == "random":
        texts = random_calibration(spec.training.seed, 64, seq_len, vocab_size)
    else:
        texts = load_calibration(source.directory, spec.text, spec.samples, seq_len, vocab_size)
    student = Student(source, facts.spec.importer, model.params, masked)
    ids = texts.tokens.arrays
    try:
        trained = distill(student, ids, spec.training, state_dir, threads, progress)
    except KeyboardInterrupt:
        progress(f"the last checkpoint is kept in {state_dir}: the same command goes on there")
        raise
    return trained.params, FinetuneFacts(texts.facts, trained.facts)
