"""Prune an imported model: choose layers, deal out the zeros, prune, report."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

import tvm_sparse
from tvm_sparse.errors import ConfigError, SparsityError
from tvm_sparse.fidelity.sensitivity_record import Sensitivity
from tvm_sparse.model.facts import ModelFacts
from tvm_sparse.model.layer import Layer
from tvm_sparse.model.model import Model
from tvm_sparse.progress import Progress, ShareProgress, silent
from tvm_sparse.pruning.auto_schedule import auto_zeros
from tvm_sparse.pruning.calibration import Calibration, load_calibration, random_calibration
from tvm_sparse.pruning.moments import MomentCollector
from tvm_sparse.pruning.prune_params import block_counts, global_zeros, prune_params
from tvm_sparse.pruning.report import LayerResult, PruningReport
from tvm_sparse.sources.source import ARCHIVE_ENDING
from tvm_sparse.sparsity.blas import single_threaded_blas
from tvm_sparse.sparsity.decision import eligible_layers
from tvm_sparse.sparsity.prune_spec import PruneSpec
from tvm_sparse.sparsity.schedule import by_patterns, load_patterns, uniform


@dataclass(frozen=True)
class Pruned:
    """Pruned weights, all of the model's, and how they came about.

    `results` says of each of `layers` what became of it, `kept` why each other dense layer stays as
    it is. `sensitivity` is what `--schedule auto` measured.
    """

    params: dict[str, np.ndarray]
    layers: list[Layer]
    results: list[LayerResult]
    kept: dict[str, str]
    calibration: Calibration | None
    sensitivity: Sensitivity | None = None

    @property
    def block_sparsity(self) -> float:
        """Share of zero blocks in all pruned layers together."""
        blocks = sum(result.blocks for result in self.results)
        return sum(result.zero_blocks for result in self.results) / blocks if blocks else 0.0

    @property
    def element_sparsity(self) -> float:
        """Share of zero elements in all pruned layers together."""
        sizes = [result.shape[0] * result.shape[1] for result in self.results]
        zeros = sum(r.element_sparsity * s for r, s in zip(self.results, sizes, strict=True))
        return zeros / sum(sizes) if sizes else 0.0

    def report(self, spec: PruneSpec, facts: ModelFacts) -> PruningReport:
        """Return what `pruning.json` says of a model that was pruned as the spec asks for."""
        return PruningReport(
            tvm_sparse=tvm_sparse.__version__,
            model=facts.name,
            architecture=facts.architecture,
            weights=facts.weights,
            spec=asdict(spec),
            calibration=self.calibration.facts if self.calibration else None,
            element_sparsity=self.element_sparsity,
            block_sparsity=self.block_sparsity,
            layers=tuple(self.results),
            kept_dense=self.kept,
            sensitivity=self.sensitivity,
        )


@single_threaded_blas()
def prune_model(
    model: Model,
    spec: PruneSpec,
    *,
    threads: int | None = None,
    collector: MomentCollector | None = None,
    progress: ShareProgress = silent,
    say: Progress = silent,
) -> Pruned:
    """Prune the eligible layers of a model.

    Parameters
    ----------
    model, spec
        Not changed; method, sparsity, block shape, schedule.
    threads : int, optional
        Threads for the activations; every core by default.
    collector : MomentCollector, optional
        Of this model and these threads: who prunes it in many ways compiles its code once.
    progress, say : callable
        Receives a text and the finished share, 0..1; receives one line a step.

    Raises
    ------
    ConfigError
        The weights are seeded ones that nobody asked for, or a schedule does not fit the model.
    InputError
        The calibration text or the tokenizer cannot be used.
    SparsityError
        A pattern matches no layer, or blocks divide none of the layers.
    PassError, BuildError
        From the compiler.
    """
    collector = collector or MomentCollector(model, threads)
    facts, layers = model.facts, model.layers
    check_weights(facts)
    refusals = eligible_layers(layers, spec.block_shape, spec.include, spec.exclude)
    chosen = [layer for layer in layers if not refusals[layer.name]]
    if not chosen:
        raise SparsityError(
            f"none of the {len(layers)} dense layers may be pruned: "
            f"{next(iter(refusals.values()), 'the model has none')}"
        )
    calibration = None
    if spec.reads_texts:
        calibration = _calibration(spec, facts)
        say(f"calibrating on {calibration.facts}")
    zeros, sensitivity = None, None
    counts = block_counts(chosen, spec.block_shape)
    if spec.sparsity is not None:
        budget = (model, chosen, spec, spec.sparsity, calibration, collector)
        if spec.schedule == "auto":
            zeros, sensitivity = auto_zeros(*budget, threads=threads, progress=progress)
        elif spec.schedule == "global":
            zeros = global_zeros(*budget, progress)
        elif spec.schedule == "uniform":
            zeros = uniform(counts, spec.sparsity)
        else:
            patterns = load_patterns(spec.schedule)
            by_canonical = {layer.canonical_name: counts[layer.name] for layer in chosen}
            named = by_patterns(by_canonical, patterns, spec.sparsity)
            zeros = {layer.name: named[layer.canonical_name] for layer in chosen}
    pruned, results = prune_params(model, chosen, spec, zeros, calibration, collector, progress)
    kept = {layer.canonical_name: refusals[layer.name] for layer in layers if refusals[layer.name]}
    return Pruned(pruned, chosen, results, kept, calibration, sensitivity)


def check_weights(facts: ModelFacts) -> None:
    """Refuse with ConfigError to prune an archive, or seeded weights unless they were asked for."""
    if facts.weights.source.endswith(ARCHIVE_ENDING):
        raise ConfigError(
            f"{facts.name} is an archive: a pruned model is a directory of transformers, give the "
            "one that the archive was exported from"
        )
    if not facts.weights.trained and facts.spec.weights != "random":
        raise ConfigError(
            f"{facts.name} has no checkpoint here ({facts.weights}): "
            "pruning random weights tells nothing; give a directory or hub id with weights, or "
            "--weights random to do it all the same"
        )


def _calibration(spec: PruneSpec, facts: ModelFacts) -> Calibration:
    seq_len = facts.spec.seq_len
    vocab_size = facts.config.get("vocab_size")
    if vocab_size is None:
        raise ConfigError(
            f"method {spec.method} given for {facts.name}, which takes no text: "
            "use --method magnitude"
        )
    if not facts.weights.trained:
        if spec.calibration is not None:
            raise ConfigError(
                "--calibration given for random weights, which have no tokenizer: leave it out"
            )
        return random_calibration(spec.seed, spec.samples, seq_len, int(vocab_size))
    return load_calibration(
        facts.weights.source, spec.calibration, spec.samples, seq_len, int(vocab_size)
    )
