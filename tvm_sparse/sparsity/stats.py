"""How sparse a weight is: by elements, and by blocks of given shapes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.sparsity.bsr import block_mask, divides

#: A layer with such a share of zeros is pruned: trained weights have hardly any.
_NOTABLE_ZEROS = 0.1


def element_sparsity(weight: NDArray[Any]) -> float:
    """Return the fraction of zero elements, 0..1; 0 for an empty weight."""
    return 1.0 - np.count_nonzero(weight) / weight.size if weight.size else 0.0


def come_pruned(weights: Iterable[NDArray[Any]]) -> bool:
    """Say whether one of some weights has a notable share of zeros, so that it was pruned."""
    return any(element_sparsity(weight) >= _NOTABLE_ZEROS for weight in weights)


def block_sparsity(weight: NDArray[Any], block_shape: tuple[int, int]) -> float:
    """Return the fraction of all-zero blocks of a weight (N, K), 0..1.

    Raises
    ------
    SparsityError
        The blocks do not divide the weight.
    """
    if block_shape == (1, 1) and weight.ndim == 2:
        return element_sparsity(weight)
    mask = block_mask(weight, block_shape)
    return 1.0 - np.count_nonzero(mask) / mask.size if mask.size else 0.0


def block_sparsities(
    weight: NDArray[Any], block_shapes: Iterable[tuple[int, int]]
) -> dict[tuple[int, int], float | None]:
    """Return `block_sparsity` at many shapes; None where the blocks do not divide the weight."""
    shape = (weight.shape[0], weight.shape[1])
    return {
        block: block_sparsity(weight, block) if divides(block, shape) else None
        for block in block_shapes
    }
