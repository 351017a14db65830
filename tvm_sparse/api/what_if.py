"""Studies: what pruning a model would buy on this machine."""

from __future__ import annotations

import os
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from tvm_sparse.cache.store import Cache
from tvm_sparse.config.model import ModelSpec
from tvm_sparse.progress import Progress, silent

if TYPE_CHECKING:
    from tvm_sparse.whatif.question import Question
    from tvm_sparse.whatif.study import Study

_TARGETS = ("latency_ms", "items_per_s_per_core")


def what_if(
    model: str | os.PathLike[str] | ModelSpec,
    question: Question | None = None,
    *,
    cache_dir: str | os.PathLike[str] | None = None,
    progress: Progress = silent,
    **parts: Any,
) -> Study:
    """Tell what pruning a model would buy on this machine, over a grid of sparsities.

    Parameters
    ----------
    model : str, path or ModelSpec
        Preset name, hub id or local directory; or a whole spec.
    question : Question, optional
        What is asked; or say it in parts.
    cache_dir : path, optional
        Cache directory; by default $TVM_SPARSE_CACHE, then `cache`.
    progress : callable
        Receives one line a step.
    **parts
        Axes of the grid (sparsities, block_shapes, seq_lens, batches, threads; with `shapes`, of
        (batch, seq_len), one build that takes any up to one length and one batch); how its points
        become sparse (seed, include, exclude); target_latency_ms, target_items_per_s_per_core;
        price_per_core_hour, requests_per_day; and fields of `Question`: mode, bench, against,
        fidelity, keep_builds, measure_again, and scheme: int8 or int8-fast adds builds of 8 bits.

    Returns
    -------
    Study
        Every point predicted, some measured, and answers in plain words.

    Raises
    ------
    ConfigError
        An empty axis, or a value out of range.
    TvmSparseError
        See `errors`. What was measured before is kept.
    """
    from tvm_sparse.tuning.records import Records
    from tvm_sparse.whatif.plan import describe_cost
    from tvm_sparse.whatif.question import plan_study
    from tvm_sparse.whatif.run_study import run_study
    from tvm_sparse.whatif.subject import Subject

    question = question or _question(**parts)
    spec = model
    if not isinstance(spec, ModelSpec):
        spec = ModelSpec(os.fspath(spec), seed=question.fill.seed)
    cache = Cache(cache_dir, on_warning=progress)
    subject, records = Subject(spec, cache, question.fill, progress), Records(cache, progress)
    if question.fidelity is not None and question.fidelity.text is not None:
        subject.source(question.grid.settings[0]).check_reads_texts()
    for line in describe_cost(question.grid, plan_study(subject, question, records)):
        progress(line)
    return run_study(subject, question, records, progress)


def plan_what_if(
    model: ModelSpec,
    question: Question,
    *,
    cache_dir: str | os.PathLike[str] | None = None,
    progress: Progress = silent,
) -> list[str]:
    """Say in a few lines what a study would do and cost, without doing any of it.

    Parameters
    ----------
    model, question, cache_dir, progress
        As `what_if` takes them.

    Raises
    ------
    ModelNotFoundError, CheckpointError, FrontendError, ConfigError
        The model is not there or does not allow a sequence length of the grid.
    """
    from tvm_sparse.tuning.records import Records
    from tvm_sparse.whatif.plan import describe_cost
    from tvm_sparse.whatif.question import plan_study
    from tvm_sparse.whatif.subject import Subject

    cache = Cache(cache_dir, on_warning=progress)
    subject = Subject(model, cache, question.fill, progress)
    return describe_cost(question.grid, plan_study(subject, question, Records(cache, progress)))


def _question(**parts: Any) -> Question:
    """Return the question that is asked in parts."""
    from tvm_sparse.whatif.economy import Pricing
    from tvm_sparse.whatif.grid import Grid, Targets, usual_block_shapes
    from tvm_sparse.whatif.question import Question
    from tvm_sparse.whatif.subject import Fill

    targets = Targets(**{name: parts.pop(f"target_{name}", None) for name in _TARGETS})
    pricing = Pricing(parts.pop("price_per_core_hour", None), parts.pop("requests_per_day", None))
    parts.setdefault("block_shapes", usual_block_shapes(parts.get("scheme")))
    kinds: dict[str, Any] = {"grid": Grid, "fill": Fill}
    for name, kind in kinds.items():
        given = {field.name: parts.pop(field.name) for field in fields(kind) if field.name in parts}
        parts[name] = kind(**{n: v if n == "seed" else tuple(v) for n, v in given.items()})
    return Question(targets=targets, pricing=pricing, **parts)
