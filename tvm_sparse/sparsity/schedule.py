"""How one budget of zeros is dealt out over the layers: block counts that sum to it exactly.

By sensitivities, see `allocation`.
"""

from __future__ import annotations

import math
import os
import reprlib
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.errors import ConfigError
from tvm_sparse.records.yaml_file import read_yaml
from tvm_sparse.sparsity.patterns import zero_block_count


def uniform(num_blocks: Mapping[str, int], sparsity: float) -> dict[str, int]:
    """Return the zero blocks of each layer when all layers get the same sparsity, rounded."""
    return {name: zero_block_count(count, sparsity) for name, count in num_blocks.items()}


def by_patterns(
    num_blocks: Mapping[str, int], sparsities: Mapping[str, float], default: float
) -> dict[str, int]:
    """Return the zero blocks of each layer by shell patterns on its name.

    Parameters
    ----------
    num_blocks : mapping of str to int
        Blocks of each layer.
    sparsities, default
        Sparsity 0..1 by pattern, of which the last that matches counts; of the other layers.

    Raises
    ------
    ConfigError
        A pattern matches no layer.
    """
    for pattern in sparsities:
        if not any(fnmatchcase(name, pattern) for name in num_blocks):
            raise ConfigError(
                f"schedule pattern {pattern!r} given, which matches none of the {len(num_blocks)} "
                f"layers to prune; they are named like {', '.join(list(num_blocks)[:3])}"
            )
    zeros = {}
    for name, count in num_blocks.items():
        matches = [value for pattern, value in sparsities.items() if fnmatchcase(name, pattern)]
        zeros[name] = zero_block_count(count, matches[-1] if matches else default)
    return zeros


def load_patterns(path: str | os.PathLike[str]) -> dict[str, float]:
    """Read a schedule: a YAML or JSON mapping from shell pattern to sparsity.

    Raises
    ------
    ConfigError
        The file cannot be read, is no such mapping, or a sparsity is no fraction.
    """
    found = read_yaml(path, ConfigError)
    if not isinstance(found, dict) or not found or not all(isinstance(key, str) for key in found):
        raise ConfigError(
            f"schedule {path} is no mapping: lines such as '*/attention/*: 0.7' are needed"
        )
    for pattern, value in found.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
            raise ConfigError(
                f"schedule {path}: sparsity {reprlib.repr(value)} given for {pattern}: it is a "
                "fraction between 0 and 1"
            )
    return found


def by_scores(
    scores: Mapping[str, NDArray[Any]], sparsity: float, least_kept: float = 0.01
) -> dict[str, int]:
    """Deal a budget out so that the lowest scores of all layers together go.

    Parameters
    ----------
    scores : mapping of str to numpy.ndarray
        Scores of each layer's blocks, comparable between layers.
    sparsity : float
        Share of all blocks to remove, 0..1.
    least_kept : float
        Share of its blocks that each layer keeps whatever its scores are, as far as the budget
        allows: a layer without weights would cut the model in two.

    Returns
    -------
    dict of str to int
        Zero blocks of each layer; they sum to the rounded share of all blocks.
    """
    total = sum(values.size for values in scores.values())
    budget = zero_block_count(total, sparsity)
    if not budget:
        return dict.fromkeys(scores, 0)
    safe = {name: math.ceil(least_kept * v.size) for name, v in scores.items()}
    if total - sum(safe.values()) < budget:
        safe = dict.fromkeys(scores, 0)
    # The highest of each layer are no candidates; of the others the lowest of all go.
    candidates, owners = [], []
    for number, (name, values) in enumerate(scores.items()):
        ordered = np.sort(values.ravel())[: values.size - safe[name]]
        candidates.append(ordered)
        owners.append(np.full(ordered.size, number))
    order = np.argsort(np.concatenate(candidates), kind="stable")[:budget]
    counts = np.bincount(np.concatenate(owners)[order], minlength=len(scores))
    return dict(zip(scores, counts.tolist(), strict=True))
