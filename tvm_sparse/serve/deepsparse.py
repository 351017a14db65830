"""Configuration files of DeepSparse's server, in our words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from tvm_sparse.errors import ConfigError

#: Fields of such a file, and of its endpoints, with ours for them. None: it has no meaning here.
_FIELDS: dict[str, str | None] = {
    "num_cores": "cores",
    "num_workers": "streams",
    "endpoints": "models",
    **dict.fromkeys(("integration", "engine_thread_pinning", "pytorch_num_threads", "loggers")),
    **dict.fromkeys(("system_logging", "logging")),
}
_ENDPOINT: dict[str, str | None] = {
    "task": "task",
    "model": "model",
    "model_path": "model",
    "route": "route",
    "endpoint": "route",
    "name": "name",
    "kwargs": "options",
    **dict.fromkeys(("batch_size", "bucketing", "data_logging", "logging_config", "middlewares")),
    **dict.fromkeys(("input_shapes", "engine_type", "num_cores", "scheduler")),
}
_TASKS = {
    "embedding_extraction": "feature-extraction",
    "transformers_embedding_extraction": "feature-extraction",
    "zero_shot_text_classification": "zero-shot-classification",
}
#: Of pipelines; what else stands in `kwargs` was for the engine.
_OPTIONS = ("top_k", "aggregation_strategy", "doc_stride", "max_seq_len", "max_answer_len")


def is_deepsparse(document: Any) -> bool:
    """Tell whether a YAML file is one for DeepSparse's server."""
    return isinstance(document, dict) and "endpoints" in document and "models" not in document


def from_deepsparse(document: Mapping[str, Any], origin: str) -> tuple[dict[str, Any], list[str]]:
    """Return such a file in our words, and a line that names what has no meaning here.

    Raises
    ------
    ConfigError
        A field is unknown, or a model is a stub of a store that is closed.
    """
    ignored: list[str] = []
    ours = _renamed(document, _FIELDS, origin, "", ignored)
    endpoints = ours.get("models")
    endpoints = endpoints if isinstance(endpoints, list) else []
    models = []
    for index, one in enumerate(endpoints):
        where = f"endpoints[{index}]"
        if not isinstance(one, dict):
            raise ConfigError(f"{origin}: {where}: a mapping is needed, got {str(one)[:40]!r}")
        model = _renamed(one, _ENDPOINT, origin, where, ignored)
        if len(endpoints) == 1:
            model.setdefault("route", "/predict")
        models.append(_model(model, origin, where, ignored))
    notes = []
    if ignored:
        notes.append(f"{', '.join(dict.fromkeys(ignored))} given: without a meaning here, left out")
    return {**ours, "models": models}, notes


def _model(model: dict[str, Any], origin: str, where: str, ignored: list[str]) -> dict[str, Any]:
    path, task = str(model.get("model", "")), model.get("task")
    if path.startswith("zoo:"):
        raise ConfigError(
            f"{origin}: {where}.model: {path} given: that store is closed; export the model and "
            "give the directory"
        )
    if isinstance(task, str):
        model["task"] = _TASKS.get(task.replace("-", "_"), task.replace("_", "-"))
    route = str(model.get("route") or "")
    words = [word for word in route.split("/") if word and word != "predict"]
    # One that is only served at /predict is called by its directory.
    model.setdefault("name", "-".join(words) or PurePath(path).name or "model")
    options = model.get("options")
    if isinstance(options, dict):
        ignored += [f"kwargs.{name}" for name in options if name not in _OPTIONS]
        model["options"] = {k: v for k, v in options.items() if k in _OPTIONS}
    return model


def _renamed(
    given: Mapping[str, Any],
    names: Mapping[str, str | None],
    origin: str,
    where: str,
    ignored: list[str],
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in given.items():
        if name not in names:
            place = f"{where}.{name}" if where else str(name)
            raise ConfigError(f"{origin}: {place}: unknown field")
        ours = names[name]
        if ours is None:
            ignored.append(str(name))
        elif value is not None:
            found[ours] = value
    return found
