"""The library API of pruning for real: weights that are trained in, zeros that stay.

>>> import tvm_sparse
>>> model = tvm_sparse.load_model("path/to/checkpoint")
>>> pruned = tvm_sparse.prune(model, sparsity=0.8, block_shape=(4, 1))
>>> pruned.save("pruned")
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tvm_sparse.config.sparsity import SparsitySpec
from tvm_sparse.model.layer import Layer
from tvm_sparse.model.model import Model
from tvm_sparse.progress import Progress, ShareProgress, silent

if TYPE_CHECKING:
    from tvm_sparse.pruning.finetune import FinetuneSpec
    from tvm_sparse.pruning.report import PruningReport
    from tvm_sparse.sparsity.prune_spec import PruneSpec


@dataclass(frozen=True)
class PrunedModel:
    """A model whose real weights were pruned; made by `prune`.

    Attributes
    ----------
    model : Model
        With the pruned weights and their zeros as its sparsity: ready for `compile`.
    report : PruningReport
        What `pruning.json` says.
    layers : list of Layer
        The layers that were pruned.
    """

    model: Model
    report: PruningReport
    layers: list[Layer] = field(repr=False)

    def save(self, directory: str | os.PathLike[str]) -> Path:
        """Write a directory that transformers loads, with `pruning.json`.

        Raises
        ------
        ConfigError
            The directory holds something else.
        CheckpointError
            The original has no safetensors.
        BuildError
            It cannot be written.
        """
        from tvm_sparse.pruning.write_checkpoint import save_pruned

        return save_pruned(self.model, directory, self.report)

    def save_onnx(
        self,
        path: str | os.PathLike[str],
        *,
        threads: int | None = None,
        progress: Progress = silent,
    ) -> Path:
        """Write an ONNX file with the pruned weights, of a model that came from one.

        Raises
        ------
        ConfigError
            It came from something else.
        CheckError
            ONNX Runtime gives something else for it than our build.
        BuildError
            It cannot be written.
        """
        from tvm_sparse.pruning.write_onnx import save_pruned_onnx

        return save_pruned_onnx(self.model, Path(path), threads, progress)


def prune(
    model: Model,
    spec: PruneSpec | None = None,
    *,
    state_dir: str | os.PathLike[str] | None = None,
    threads: int | None = None,
    measure: ShareProgress = silent,
    progress: Progress = silent,
    **fields: Any,
) -> PrunedModel:
    """Prune a model's real weights.

    Parameters
    ----------
    model : Model
        As loaded; not changed.
    spec : PruneSpec, optional
        A whole spec.
    state_dir : path, optional
        Where the pruned weights are kept for a training, and taken from if they are there.
    threads : int, optional
        Threads to run calibration text on; every core by default.
    measure : callable
        Receives a line of text and the finished share, 0..1.
    progress : callable
        Receives one line a step.
    **fields
        Fields of `PruneSpec`: method, sparsity, block_shape, n_m, schedule, calibration,
        samples, damping, sequential, seed, include, exclude.

    Raises
    ------
    ConfigError, InputError, CheckpointError
        A value out of range, text that cannot be used, weights that nobody trained.
    SparsityError, PassError, BuildError
        See `errors`.
    """
    from tvm_sparse.pruning.prune_model import prune_model
    from tvm_sparse.pruning.pruned_state import keep_pruned, kept_pruned, pruning_key
    from tvm_sparse.sparsity.prune_spec import PruneSpec

    spec = spec or PruneSpec(**fields)
    key, kept = pruning_key(model.facts.key, spec), None
    if state_dir is not None:
        kept = kept_pruned(Path(state_dir), key, model.reference.params)
    if kept is not None:
        progress(f"pruned weights taken from {state_dir}")
        params, report = kept
    else:
        pruned = prune_model(model.original, spec, threads=threads, progress=measure, say=progress)
        params, report = pruned.params, pruned.report(spec, model.facts)
        if state_dir is not None:
            keep_pruned(Path(state_dir), key, params, report)
    names = {layer.weight for layer in report.layers}
    zeros = SparsitySpec(
        block_shape=spec.block_shape, prune="none", include=spec.include, exclude=spec.exclude
    )
    return PrunedModel(
        model=replace(model, params=params, sparsity=zeros),
        report=report,
        layers=[layer for layer in model.layers if layer.canonical_name in names],
    )


def finetune(
    pruned: PrunedModel,
    spec: FinetuneSpec | None = None,
    *,
    state_dir: str | os.PathLike[str],
    threads: int | None = None,
    progress: Progress = silent,
) -> PrunedModel:
    """Train a pruned model to give the dense one's outputs again, its zeros held fixed.

    Parameters
    ----------
    pruned : PrunedModel
        As `prune` returns it; not changed.
    spec : FinetuneSpec, optional
        Text and training; by default 200 steps on the built-in text.
    state_dir : path
        Receives checkpoints: the same call goes on from the last one. Remove it when the result
        is kept.
    threads : int, optional
        Threads to train on; every core by default.
    progress : callable
        Receives one line a step, losses among them.

    Raises
    ------
    ConfigError, InputError
        A model or text that cannot be trained on.
    BuildError
        The training failed.
    """
    from tvm_sparse.pruning.finetune import FinetuneSpec, finetune_params

    params, facts = finetune_params(
        pruned.model,
        [layer.name for layer in pruned.layers],
        spec or FinetuneSpec(),
        Path(state_dir),
        threads=threads,
        progress=progress,
    )
    model = replace(pruned.model, params=params)
    return replace(pruned, model=model, report=replace(pruned.report, finetune=facts))
