"""Which outputs a model loses because its checkpoint lacks weights for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from tvm_sparse.errors import CheckpointError, FrontendError
from tvm_sparse.model.facts import WeightGaps
from tvm_sparse.sources.source import ModelSource


def find_left_out(
    gaps: WeightGaps,
    results: Mapping[str, np.ndarray],
    source: ModelSource,
    class_name: str,
    framework: str,
) -> WeightGaps:
    """Say which outputs need weights that the checkpoint lacks: those are NaN, and show it.

    Parameters
    ----------
    gaps : WeightGaps
        What the checkpoint lacks, and what nothing is there for.
    results : mapping of str to ndarray
        What the framework computed.
    source : ModelSource
        Of the model.
    class_name, framework : str
        For the message.

    Returns
    -------
    WeightGaps
        Weights that no output needs are not missing.

    Raises
    ------
    CheckpointError
        All outputs need some.
    FrontendError
        An output is not finite though all weights are there.
    """
    wrong = tuple(name for name, value in results.items() if not np.isfinite(value).all())
    if wrong and not gaps.missing:
        raise FrontendError(
            f"{framework} gives {wrong[0]} of {source.name} values that are not finite: the "
            "weights are too large for float32"
        )
    if wrong and len(wrong) == len(results):
        raise CheckpointError(
            f"the checkpoint in {source.directory} lacks {len(gaps.missing)} weights that "
            f"{', '.join(wrong)} of {class_name} needs (first {gaps.missing[0]}): give one that "
            "was trained for this task, or --weights random for seeded weights"
        )
    return replace(gaps, missing=gaps.missing if wrong else (), left_out=wrong)
