"""Choose single weights column by column, while the columns to the right make up for them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.sparsity.block_scores import keep_highest, keep_n_of_m
from tvm_sparse.sparsity.prune_spec import NM

#: Columns that are chosen from at once.
_COLUMNS_AT_ONCE = 128


def eliminate(
    weight: NDArray[Any],
    inverse: NDArray[np.float64],
    sparsity: float | None,
    n_m: NM | None = None,
) -> NDArray[np.bool_]:
    """Choose the weights that stay, by losses that count what was removed further left.

    Its cost is N * K^2 whatever the sparsity, which solving every row by itself exceeds in wide
    layers. Only the choice is returned, bool (N, K): see `second_order.solve_kept` for the best
    values. `inverse` is that of the damped Hessian, float64 (K, K). The share `sparsity` is removed
    from every group of columns, or else N of every M neighbours in a row stay.

    References
    ----------
    Frantar & Alistarh 2023, "SparseGPT: Massive Language Models Can Be Accurately Pruned in
    One-Shot", algorithm 1.
    """
    from scipy.linalg import cholesky

    current = weight.astype(np.float64)
    num_rows, width = current.shape
    # Row j of the upper factor: what column j means for those to its right, all further left gone.
    factor = cholesky(inverse, lower=False, check_finite=False)
    scale = np.diag(factor)
    mask = np.ones(current.shape, np.bool_)
    size = _COLUMNS_AT_ONCE if n_m is None else max(1, _COLUMNS_AT_ONCE // n_m[1]) * n_m[1]
    for start in range(0, width, size):
        stop = min(start + size, width)
        columns = slice(start, stop)
        scores = (current[:, columns] / scale[columns]) ** 2
        if n_m is None:
            chosen = keep_highest(scores, round(scores.size * (sparsity or 0.0)))
        else:
            chosen = keep_n_of_m(scores, *n_m)
        mask[:, columns] = chosen
        errors = np.zeros((num_rows, stop - start))
        for j in range(start, stop):
            error = np.where(chosen[:, j - start], 0.0, current[:, j] / scale[j])
            current[:, j:stop] -= np.outer(error, factor[j, j:stop])
            errors[:, j - start] = error
        current[:, stop:] -= errors @ factor[columns, stop:]
    return mask
