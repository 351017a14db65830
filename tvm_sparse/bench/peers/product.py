"""One matrix product as a directory: what kernels of several libraries are compared on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.bench.peers.engine import Engine

INPUT, OUTPUT = "data", "out"

_FILE = "product.npz"

#: Engines whose modules load a product; `dense` ones ignore its zeros.
PRODUCT_ENGINES: dict[str, Engine] = {
    engine.name: engine
    for engine in (
        Engine("torch-linear", "PyTorch linear (dense)", "torch_product", ("torch",)),
        Engine("scipy-csr", "scipy CSR", "scipy_product", ("scipy",), is_rival=False),
        Engine("scipy-bsr", "scipy BSR", "scipy_product", ("scipy",), is_rival=False),
        Engine("torch-csr", "PyTorch CSR (MKL)", "torch_product", ("torch",), is_rival=False),
    )
}


@dataclass(frozen=True)
class Product:
    """out = data @ weight.T, with zeros in the weight: float32 (M, K) by (N, K).

    The zeros come in blocks (bs_r, bs_c); (0, 0) stands for a dense weight.
    """

    weight: NDArray[Any]
    data: NDArray[Any]
    block_shape: tuple[int, int]

    @property
    def inputs(self) -> dict[str, NDArray[Any]]:
        """Return what a worker binds."""
        return {INPUT: self.data}

    def reference(self) -> dict[str, NDArray[Any]]:
        """Return the product in double precision, rounded to float32."""
        out = self.data.astype(np.float64) @ self.weight.T.astype(np.float64)
        return {OUTPUT: out.astype(np.float32)}

    def save(self, directory: Path) -> Path:
        """Write it into a directory, made if it is missing, and return that."""
        directory.mkdir(parents=True, exist_ok=True)
        shape = np.asarray(self.block_shape)
        np.savez(directory / _FILE, weight=self.weight, data=self.data, block_shape=shape)
        return directory


def load_product(directory: Path) -> Product:
    """Return the product in a directory."""
    with np.load(directory / _FILE, allow_pickle=False) as arrays:
        rows, columns = arrays["block_shape"].tolist()
        return Product(arrays["weight"], arrays["data"], (rows, columns))
