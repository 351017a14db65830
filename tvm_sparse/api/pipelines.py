"""Answers from an artifact: a pipeline for a task, as transformers calls it."""

from __future__ import annotations

import os

from tvm_sparse.runtime.artifact import load
from tvm_sparse.runtime.loaded_model import LoadedModel
from tvm_sparse.text.pipelines import TEXT_TASKS, Pipeline, choose_task


def pipeline(
    task: str | None,
    model: str | os.PathLike[str] | LoadedModel,
    *,
    threads: int | None = None,
) -> Pipeline:
    """Return what answers a task's questions, called as that of transformers is.

    Parameters
    ----------
    task : str or None
        A key of `text.pipelines.TEXT_TASKS`: `question-answering`, `text-classification` and so
        on; None for what the model is for.
    model : path or LoadedModel
        An artifact directory that `export` wrote, or one that is loaded.
    threads : int or None
        Threads to run on, if it is not loaded yet; None takes every available core.

    Returns
    -------
    callable
        Its parameters are those of the task's class in `tvm_sparse.text`.

    Raises
    ------
    ConfigError
        There is no such task, or the model is not for it.
    InputError
        The artifact has no tokenizer.
    ArtifactError, DependencyError
        See `load`.
    """
    loaded = model if isinstance(model, LoadedModel) else load(model, threads)
    name = choose_task(loaded.metadata.model, task)
    return TEXT_TASKS[name].make(loaded.text)
