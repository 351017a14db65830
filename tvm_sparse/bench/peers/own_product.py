"""Our own kernel of one product, beside those of other libraries."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from tvm_sparse.bench.peers.engine import Inputs, PeerModel
from tvm_sparse.bench.peers.product import INPUT, OUTPUT, Product, load_product


def load(directory: Path, threads: int, name: str) -> PeerModel:
    """Compile the dense kernel for a product without blocks, the sparse one for its blocks."""
    from tvm_sparse.runtime.crew import own_threads

    own_threads(threads)
    return _OwnProduct(load_product(directory))


class _OwnProduct(PeerModel):
    def __init__(self, product: Product) -> None:
        from tvm_sparse.bench.product_kernel import build_product

        sparse = min(product.block_shape) > 0
        self._kernel = build_product(
            product.weight, len(product.data), product.block_shape if sparse else None
        )
        self.facts = {"kernel": self._kernel.name, "flops": self._kernel.flops}
        self._read: Callable[[], NDArray[Any]] | None = None

    def bind(self, inputs: Inputs) -> Callable[[], Any]:
        call, self._read = self._kernel.bind(inputs[INPUT])
        return call

    def outputs(self, result: Any) -> dict[str, NDArray[Any]]:
        assert self._read is not None, "bind comes first"
        return {OUTPUT: self._read()}
