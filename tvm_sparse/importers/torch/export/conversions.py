"""Weights that a class of transformers 5 has under other names than its checkpoints, or in parts.

transformers 5 tells how: names are replaced, and a tensor of queries, keys and values is cut.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from typing import Any

from tvm_sparse.sources.weight import Weight

_TRIED = "transformers 5.24"
_MOST_CHARACTERS = 200


def converted(model: Any, weights: Mapping[str, Weight]) -> tuple[dict[str, Weight], str]:
    """Return weights as a model knows them.

    Parameters
    ----------
    model : PreTrainedModel
        Its class decides.
    weights : mapping of str to Weight
        By the names of a checkpoint that the model does not have.

    Returns
    -------
    weights : dict of str to Weight
        By the model's names; what is stored in yet another way keeps its own.
    fault : str
        Why all keep their own names though some may have others; empty if that is known.
    """
    installed = version("transformers")
    # Classes of transformers 4 have the names of their checkpoints.
    if not weights or int(installed.partition(".")[0]) < 5:
        return dict(weights), ""
    try:
        return _converted(model, weights), ""
    except Exception as error:  # none of this is transformers' public interface
        told = " ".join(f"{type(error).__name__}: {error}".split())
        return dict(weights), (
            f"under which names transformers {installed} has a checkpoint's weights cannot be "
            f"asked in the way of {_TRIED} ({told[:_MOST_CHARACTERS]})"
        )


def _converted(model: Any, weights: Mapping[str, Weight]) -> dict[str, Weight]:
    from transformers import conversion_mapping, core_model_loading

    mapping = conversion_mapping.get_model_conversion_mapping(model)
    renamings, converters = (
        [one for one in mapping if isinstance(one, kind)]
        for kind in (core_model_loading.WeightRenaming, core_model_loading.WeightConverter)
    )
    own, prefix, found = model.state_dict(), model.base_model_prefix, {}
    for name, weight in weights.items():
        renamed, pattern = core_model_loading.rename_source_key(
            name, renamings, converters, prefix, own
        )
        if pattern is None:
            found[renamed] = weight
            continue
        converter = next(one for one in converters if pattern in one.source_patterns)
        targets, operations = converter.target_patterns, converter.operations
        if [(type(one).__name__, one.__dict__.get("dim")) for one in operations] != [("Chunk", 0)]:
            found[name] = weight
            continue
        for number, target in enumerate(targets):
            found[renamed.replace(targets[0], target)] = _part(weight, number, len(targets))
    return found


def _part(weight: Weight, number: int, count: int) -> Weight:
    """Return one of equal parts of a weight's rows."""
    rows = weight.shape[0] // count
    cut = slice(number * rows, (number + 1) * rows)
    return replace(weight, shape=(rows, *weight.shape[1:]), read=lambda: weight.read()[cut])
