"""How far two computations of the same thing may be apart. The only place that says so."""

from __future__ import annotations

import numpy as np

# Whole models, another order of summation and polynomial erf/exp/tanh; the importer's promise.
MODEL = {"rtol": 1e-4, "atol": 1e-4}

# Single element-wise functions: the polynomials are good to about 3e-7.
ELEMENTWISE = {"rtol": 2e-6, "atol": 1e-6}

# The quotient of GELU is as short as this error allows.
GELU = {"rtol": 2e-6, "atol": 2e-6}


def dot(k: int, dtype: str = "float32", scale: float = 1.0) -> dict[str, float]:
    """Return the tolerance of a sum of `k` products against the same sum in float64.

    Parameters
    ----------
    k : int
        Length of the sum.
    dtype : str
        Type the sum was accumulated in.
    scale : float
        Standard deviation of one product. Rounding errors add up like a random walk, so the bound
        grows with the square root of `k`; eight of those deviations never occur by chance.
    """
    eps = float(np.finfo(dtype).eps)
    return {"rtol": 8 * eps, "atol": 8 * eps * scale * max(k, 1) ** 0.5}
