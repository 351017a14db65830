"""A model in memory, which answers under its names."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tvm_sparse.errors import ConfigError
from tvm_sparse.runtime.on_texts import open_texts
from tvm_sparse.serve.backends.registry import backend_of
from tvm_sparse.serve.cards import Card, make_card
from tvm_sparse.serve.check import check_model
from tvm_sparse.serve.model_config import TENSORS, ModelConfig
from tvm_sparse.serve.options import check_options
from tvm_sparse.serve.pipeline_bodies import answer_body, count_texts, is_pipeline_body
from tvm_sparse.serve.queued_model import QueuedModel
from tvm_sparse.serve.refusal import Refusal
from tvm_sparse.serve.served_model import ServedModel
from tvm_sparse.serve.statistics import Statistics
from tvm_sparse.serve.streams import Streams
from tvm_sparse.serve.tensor_answers import answer_tensors
from tvm_sparse.serve.tensor_answers import signature_of as signature_of_tensors
from tvm_sparse.serve.text_answers import answer_texts
from tvm_sparse.serve.text_answers import signature_of as signature_of_texts
from tvm_sparse.text.pipelines import TEXT_TASKS
from tvm_sparse.text.text_model import Example

Body = dict[str, Any]


@dataclass(frozen=True)
class Route:
    """Where a model is asked in the words of its pipeline.

    Attributes
    ----------
    model : ServedModel
        Whose queue it is.
    takes : callable
        Tells whether a body is for it.
    count : callable
        Returns how many texts a body has.
    answer : callable
        Returns the answer to a body; called in a thread.
    card : Card
        What is shown of the model.
    """

    model: ServedModel
    takes: Callable[[Body], bool]
    count: Callable[[Body], int]
    answer: Callable[[Body], Body]
    card: Card


@dataclass(frozen=True)
class Deployment:
    """A model that has answered once.

    Attributes
    ----------
    config : ModelConfig
        What it was made from.
    served : tuple of ServedModel
        It, by its names.
    route : Route or None
        Where it is asked at `config.path`, if it takes texts.
    """

    config: ModelConfig
    served: tuple[ServedModel, ...]
    route: Route | None


def deploy(
    one: ModelConfig, where: str, threads: int, streams: Streams, counts: dict[str, Statistics]
) -> Deployment:
    """Load a model and have it answer once.

    Parameters
    ----------
    one : ModelConfig
        The model.
    where : str
        Its place in the configuration, for messages.
    threads : int
        Of a run.
    streams : Streams
        Where its runs wait.
    counts : dict of str to Statistics
        Of each name, those of an earlier model of that name among them; is added to.

    Raises
    ------
    ArtifactError, ConfigError, DependencyError, InputError
        It cannot be served.
    """
    metadata, task = check_model(one, where)
    loaded = backend_of(metadata).load(Path(one.model), threads)
    tensors_name = one.name if task is None else one.name + TENSORS
    of_texts, of_tensors = (
        counts.setdefault(name, Statistics()) for name in (one.name, tensors_name)
    )
    queued = QueuedModel(loaded, streams, one.queue.max_delay_us / 1e6)
    served = functools.partial(ServedModel, streams=streams, queue=one.queue)
    tensors = served(
        tensors_name,
        signature_of_tensors(loaded.inputs, loaded.outputs),
        functools.partial(answer_tensors, queued),
        statistics=of_tensors,
    )
    tensors.ready = True
    if task is None:
        queued.run(**{s.name: np.zeros(_least(s.shape, s.axes), s.dtype) for s in loaded.inputs})
        queued.alone.statistics = of_tensors
        return Deployment(one, (tensors,), None)
    text = open_texts(queued, metadata, Path(one.model))
    pipeline = TEXT_TASKS[task].make(text)
    try:
        check_options(pipeline, one.options)
    except Refusal as error:
        raise ConfigError(f"{where}.options: {error.message}") from None
    list(text.run([Example("ready")]))
    # From here on: nobody asked for the first run.
    queued.together.statistics, queued.alone.statistics = of_texts, of_tensors
    asked = served(
        one.name,
        signature_of_texts(task),
        functools.partial(answer_texts, task, pipeline, one.options),
        statistics=of_texts,
    )
    asked.ready = True
    answer = functools.partial(answer_body, task, pipeline, one.options)
    card = make_card(one.name, task, one.path, metadata, Path(one.model), threads)
    takes, count = functools.partial(is_pipeline_body, task), functools.partial(count_texts, task)
    route = Route(asked, takes, count, answer, card)
    return Deployment(one, (asked, tensors), route)


def _least(shape: tuple[int, ...], axes: tuple[str, ...]) -> tuple[int, ...]:
    """Return the smallest shape that an input may have."""
    return tuple(1 if axis else n for n, axis in zip(shape, axes, strict=True)) if axes else shape
