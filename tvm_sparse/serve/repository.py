"""The models that are served: loaded one after the other, each once it has answered."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tvm_sparse.errors import ConfigError
from tvm_sparse.runtime.on_texts import open_texts
from tvm_sparse.serve.backends.registry import backend_of
from tvm_sparse.serve.check import check_model
from tvm_sparse.serve.config import TENSORS, ModelConfig, ServeConfig
from tvm_sparse.serve.options import check_options
from tvm_sparse.serve.pipeline_bodies import answer_body, is_pipeline_body
from tvm_sparse.serve.queued_model import QueuedModel
from tvm_sparse.serve.refusal import Refusal, not_now
from tvm_sparse.serve.served_model import ServedModel
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
    answer : callable
        Returns the answer to a body; called in a thread.
    """

    model: ServedModel
    takes: Callable[[Body], bool]
    answer: Callable[[Body], Body]


@dataclass
class Repository:
    """What is served.

    Attributes
    ----------
    expected : set of str
        Names of models that are not loaded yet.
    models : dict of str to ServedModel
        By name.
    routes : dict of str to Route
        By path.
    """

    expected: set[str] = field(default_factory=set)
    models: dict[str, ServedModel] = field(default_factory=dict)
    routes: dict[str, Route] = field(default_factory=dict)

    @property
    def ready(self) -> bool:
        """Whether every model has answered."""
        return not self.expected and all(model.ready for model in self.models.values())

    def model(self, name: str, version: str = "1") -> ServedModel:
        """Return a model.

        Raises
        ------
        Refusal
            There is none of that name and version, or not yet.
        """
        found = self.models.get(name)
        if found is not None and version == "1":
            return found
        if name.removesuffix(TENSORS) in self.expected:
            raise not_now(f"model '{name}' is not ready yet")
        which = f"'{name[:100]}'" + (f" version {version[:20]}" if version != "1" else "")
        raise Refusal(404, f"Request for unknown model: {which} is not found")

    def route_of(self, model: ServedModel) -> Route | None:
        """Return where a model is asked in the words of its pipeline, if it is."""
        return next((one for one in list(self.routes.values()) if one.model is model), None)

    def close(self) -> None:
        """Let the threads of all models end."""
        for model in list(self.models.values()):
            model.close()


def load_models(config: ServeConfig, repository: Repository) -> None:
    """Load the models of a configuration and have each answer once.

    Raises
    ------
    ArtifactError, ConfigError, DependencyError, InputError
        One cannot be served.
    """
    count, threads = config.threads()
    streams = Streams(count)
    repository.expected |= {one.name for one in config.models}
    for index, one in enumerate(config.models):
        _add(one, f"models[{index}]", threads, streams, repository)
        repository.expected.discard(one.name)


def _add(
    one: ModelConfig, where: str, threads: int, streams: Streams, repository: Repository
) -> None:
    """Load a model, and add it under its names when it has answered."""
    metadata, task = check_model(one, where)
    loaded = backend_of(metadata).load(Path(one.model), threads)
    queued = QueuedModel(loaded, streams, one.queue.max_delay_us / 1e6)
    served = functools.partial(ServedModel, streams=streams, queue=one.queue)
    tensors = served(
        one.name if task is None else one.name + TENSORS,
        signature_of_tensors(loaded.inputs, loaded.outputs),
        functools.partial(answer_tensors, queued),
        runs=lambda: queued.alone.runs,
    )
    if task is None:
        queued.run(**{s.name: np.zeros(_least(s.shape, s.axes), s.dtype) for s in loaded.inputs})
    else:
        text = open_texts(queued, metadata, Path(one.model))
        pipeline = TEXT_TASKS[task].make(text)
        try:
            check_options(pipeline, one.options)
        except Refusal as error:
            raise ConfigError(f"{where}.options: {error.message}") from None
        list(text.run([Example("ready")]))
        asked = served(
            one.name,
            signature_of_texts(task),
            functools.partial(answer_texts, task, pipeline, one.options),
            runs=lambda: queued.together.runs,
        )
        asked.ready = True
        repository.models[one.name] = asked
        answer = functools.partial(answer_body, task, pipeline, one.options)
        repository.routes[one.path] = Route(
            asked, functools.partial(is_pipeline_body, task), answer
        )
    tensors.ready = True
    repository.models[tensors.name] = tensors


def _least(shape: tuple[int, ...], axes: tuple[str, ...]) -> tuple[int, ...]:
    """Return the smallest shape that an input may have."""
    return tuple(1 if axis else n for n, axis in zip(shape, axes, strict=True)) if axes else shape
