"""scipy's sparse product; it runs on one thread whatever is asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.bench.peers.engine import Inputs, PeerModel
from tvm_sparse.bench.peers.product import INPUT, OUTPUT, Product, load_product


def load(directory: Path, threads: int, name: str) -> PeerModel:
    """Load a product as `scipy-csr`, or in its own blocks as `scipy-bsr`."""
    return _ScipyProduct(load_product(directory), name)


class _ScipyProduct(PeerModel):
    def __init__(self, product: Product, name: str) -> None:
        from scipy import sparse

        if name == "scipy-bsr":
            blocks = product.block_shape if min(product.block_shape) > 0 else (1, 1)
            self._weight: Any = sparse.bsr_matrix(product.weight, blocksize=blocks)
        else:
            self._weight = sparse.csr_matrix(product.weight)
        self.facts = {"stored": int(self._weight.nnz), "threads": 1}

    def bind(self, inputs: Inputs) -> Callable[[], Any]:
        # (K, M), the order in which scipy reads rows of features.
        features = np.ascontiguousarray(inputs[INPUT].T)
        weight = self._weight
        return lambda: weight @ features

    def outputs(self, result: Any) -> dict[str, NDArray[Any]]:
        return {OUTPUT: np.ascontiguousarray(np.asarray(result).T)}
