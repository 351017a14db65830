"""Which model a request to load one means, and whether it may be loaded.

An artifact is native code: only those of the configuration and those below directories that it
names are loaded, and nothing that a request brings along.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tvm_sparse.errors import ConfigError
from tvm_sparse.records.read import check_settings, parse_json
from tvm_sparse.runtime.metadata import METADATA_FILE
from tvm_sparse.serve.model_config import ModelConfig
from tvm_sparse.serve.refusal import wrong


def find_model(
    name: str,
    parameters: Mapping[str, Any],
    known: Mapping[str, ModelConfig],
    roots: Iterable[str],
) -> ModelConfig:
    """Return the model that a request to load one means.

    Parameters
    ----------
    name : str
        What requests shall call it: a model of the configuration, or a directory below a root.
    parameters : mapping
        Of the request. `config` is JSON with fields of a model, `model` among them where the
        directory has another name.
    known : mapping of str to ModelConfig
        Models that were named before.
    roots : iterable of str
        Directories; what lies below them may be loaded.

    Raises
    ------
    Refusal
        It is none, or may not be loaded.
    """
    for key in parameters:
        if key.startswith("file:"):
            raise wrong(
                f"parameter '{key[:100]}': files of a request are not loaded, an artifact is "
                "native code"
            )
        if key != "config":
            raise wrong(f"unknown parameter '{key[:100]}': there is config")
    fields = _fields(parameters.get("config"))
    if "export" in fields:
        raise wrong("export: only the configuration says how to export a model")
    before = asdict(known[name]) if name in known else {}
    try:
        one = check_settings(
            {"model": name, **before, **fields, "name": name}, ModelConfig, "config", ConfigError
        )
    except ConfigError as error:
        raise wrong(str(error)) from None
    if name in known and "model" not in fields:
        return one
    return replace(one, model=str(_below(one.model, roots)))


def _fields(given: Any) -> dict[str, Any]:
    if given is None:
        return {}
    document = given
    try:
        if isinstance(given, str):
            document = parse_json(given, "parameter 'config'", ConfigError)
    except ConfigError as error:
        raise wrong(str(error)) from None
    if not isinstance(document, dict):
        raise wrong("parameter 'config' must be a JSON object, with fields of a model")
    return document


def _below(model: str, roots: Iterable[str]) -> Path:
    """Return the artifact directory below one of the roots, links resolved.

    Raises
    ------
    Refusal
        There is none, or it is elsewhere.
    """
    for root in roots:
        try:
            home = Path(root).resolve()
            found = (home / model).resolve()
            inside = found.is_relative_to(home) and (found / METADATA_FILE).is_file()
            if inside and all(file.resolve().is_relative_to(home) for file in found.rglob("*")):
                return found
        except (OSError, ValueError, RuntimeError):  # a zero byte, links in a circle
            continue
    raise wrong(f"no artifact '{model[:100]}' below control.roots")
