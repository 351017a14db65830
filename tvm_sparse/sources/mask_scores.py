"""Movement pruning before it is made permanent: weights, and scores that say which of them count.

Two programs leave such checkpoints and compute the masks in every forward pass: movement-pruning,
a research project of transformers (Sanh et al. 2020; PruneBERT is one of its models), with a score
a weight, and nn_pruning (Lagunas et al. 2021), with one a block, a row or a column.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypedDict

import numpy as np
from msgspec import Meta

from tvm_sparse.errors import CheckpointError
from tvm_sparse.records.read import check_types, read_json
from tvm_sparse.sources.weight import Array, Weight

#: Options of nn_pruning, written beside the weights.
_OPTIONS_FILE = "sparse_args.json"
_PERMANENT = (
    "make the pruning permanent (movement-pruning's bertarize.py, nn_pruning's compile_model) and "
    "save that"
)
_METHODS = ("topK", "threshold", "sigmoied_threshold", "l0")
#: A layer's scores: one tensor, or, of nn_pruning, those of its blocks or rows (0) and columns (1).
_SCORES = re.compile(r"^(.*?)(?:\.mask_module\.context_modules\.([01]))?\.mask_scores$")
_ATTENTION = re.compile(r"\.(query|key|value|[qkv]_lin)$")
_ATTENTION_OUTPUT = re.compile(r"\.(attention\.output\.dense|out_lin)$")


class _Options(TypedDict, total=False):
    pruning_method: str
    threshold: float
    final_threshold: float
    attention_pruning_method: str
    dense_pruning_method: str
    attention_output_with_dense: bool
    bias_mask: bool
    linear_min_parameters: Annotated[float, Meta(ge=0, le=1)]
    ampere_pruning_method: str
    layer_norm_patch: bool
    gelu_patch: bool


@dataclass(frozen=True)
class _Masking:
    """How scores become a mask, in the words of both programs."""

    method: str
    threshold: float
    least: float

    def mask(self, scores: Array) -> Array:
        """Return the mask of scores, float32 of their shape."""
        if self.method == "l0":
            return np.clip(_sigmoid(scores) * 1.2 - 0.1, 0.0, 1.0)
        if self.method == "topK":
            highest = np.argsort(-scores, axis=None, kind="stable")
            kept = np.zeros(scores.size, bool)
            kept[highest[: int(self.threshold * scores.size)]] = True
            return kept.reshape(scores.shape).astype(np.float32)
        compared = _sigmoid(scores) if self.method == "sigmoied_threshold" else scores
        kept = compared > self.threshold
        floor = int(self.least * scores.size) + 1 if self.least else 0
        if kept.sum() < floor:
            kept = scores > np.sort(scores, axis=None)[max(scores.size - floor, 1) - 1]
        return kept.astype(np.float32)


def option_files(directory: Path) -> tuple[Path, ...]:
    """Return the files of a checkpoint, beside those of its weights, that masks depend on."""
    path = directory / _OPTIONS_FILE
    return (path,) if path.is_file() else ()


def apply_mask_scores(
    weights: Mapping[str, Weight], directory: Path, config: Mapping[str, Any]
) -> dict[str, Weight]:
    """Multiply the weights that have scores with their masks; the scores go.

    Parameters
    ----------
    weights : mapping of str to Weight
        Of a checkpoint, by name.
    directory : Path
        Its directory, with the options of nn_pruning.
    config : mapping
        Its `config.json`, with the method of movement-pruning.

    Raises
    ------
    CheckpointError
        There are scores, and what they mean depends on something that no file says or that is
        not imported.
    """
    scores: dict[str, dict[str, Weight]] = {}
    for name, weight in weights.items():
        if match := _SCORES.match(name):
            scores.setdefault(match[1], {})[match[2] or ""] = weight
    if not scores:
        return dict(weights)
    options = _read_options(directory, config)
    found = {name: weight for name, weight in weights.items() if not _SCORES.match(name)}
    for layer, parts in scores.items():
        if f"{layer}.weight" not in found:
            raise CheckpointError(f"{directory} holds mask_scores of {layer} and no weight of it")
        weight, bias = found[f"{layer}.weight"], found.get(f"{layer}.bias")
        by_block = "" not in parts
        masking = _masking(layer, options, by_block, directory)
        mask = _mask_of(weight.shape, parts, masking)
        found[weight.name] = weight.times(mask)
        # What nn_pruning takes of a layer's outputs, it takes of its bias.
        if bias is not None and by_block and options.get("bias_mask", False):
            found[bias.name] = bias.times(partial(_any_of_rows, mask))
    return found


def _read_options(directory: Path, config: Mapping[str, Any]) -> _Options:
    path = directory / _OPTIONS_FILE
    keys = ("pruning_method", "final_threshold", "threshold")
    document = {key: config[key] for key in keys if config.get(key) is not None}
    if path.is_file():
        document |= read_json(path, CheckpointError)
    options: _Options = check_types(document, _Options, str(path), CheckpointError)
    for key in ("ampere_pruning_method", "layer_norm_patch", "gelu_patch"):
        if options.get(key, "disabled") not in ("disabled", False):
            raise CheckpointError(f"{path} says {key}, which is not imported: {_PERMANENT}")
    return options


def _masking(layer: str, options: _Options, by_block: bool, directory: Path) -> _Masking:
    kind = "dense"
    if _ATTENTION.search(layer) or (
        _ATTENTION_OUTPUT.search(layer) and not options.get("attention_output_with_dense", True)
    ):
        kind = "attention"
    named = options.get(f"{kind}_pruning_method") if by_block else options.get("pruning_method")
    method = str(named or "topK").partition(":")[0]
    if method not in _METHODS:
        raise CheckpointError(
            f"{directory} was pruned by the method {method}, which is not imported (known are "
            f"{', '.join(_METHODS)}): {_PERMANENT}"
        )
    threshold = options.get("final_threshold", options.get("threshold"))
    if threshold is None and method != "l0":
        raise CheckpointError(
            f"{directory} holds mask_scores of movement pruning, and no file says the threshold "
            f"(for topK the share of weights that is kept): write it into {_OPTIONS_FILE} there as "
            f'{{"final_threshold": 0.1}}, or {_PERMANENT}'
        )
    least = options.get("linear_min_parameters", 0.005) if by_block else 0.005
    return _Masking(method, threshold or 0.0, least)


def _mask_of(
    shape: tuple[int, ...], parts: Mapping[str, Weight], masking: _Masking
) -> Callable[[], Array]:
    """Return what computes the mask (N, K) of a weight from the scores of its layer."""

    def compute() -> Array:
        scores = {axis: weight.read() for axis, weight in parts.items()}
        if all(array.ndim == 1 for array in scores.values()):
            # Of rows and columns: where one has none, all of it counts.
            rows, columns = (scores.get(axis, np.ones(1, np.float32)) for axis in "01")
            table = np.outer(rows, columns)
        else:
            (table,) = scores.values()
        if table.ndim != 2 or any(n % part for n, part in zip(shape, table.shape, strict=True)):
            raise CheckpointError(
                f"{next(iter(parts.values())).name} has scores for {table.shape} blocks of a "
                f"weight {shape}: they do not divide it"
            )
        mask = masking.mask(table)
        for axis, extent in enumerate(shape):
            mask = np.repeat(mask, extent // mask.shape[axis], axis=axis)
        return mask

    return compute


def _any_of_rows(mask: Callable[[], Array]) -> Array:
    return np.asarray(mask().any(axis=1))


def _sigmoid(values: Array) -> Array:
    return 1 / (1 + np.exp(-values))
