"""PyTorch's products: dense, and with a CSR weight, which its CPU build gives to MKL."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.bench.peers.engine import Inputs, PeerModel
from tvm_sparse.bench.peers.product import INPUT, OUTPUT, load_product


def load(directory: Path, threads: int, name: str) -> PeerModel:
    """Load a product as `torch-linear` or `torch-csr`."""
    import torch

    torch.set_num_threads(threads)
    return _TorchProduct(torch, torch.from_numpy(load_product(directory).weight), name)


class _TorchProduct(PeerModel):
    def __init__(self, torch: Any, weight: Any, name: str) -> None:
        self._torch, self._weight = torch, weight
        self._sparse = name == "torch-csr"
        self.facts = {"mkl": bool(torch.backends.mkl.is_available())}
        if self._sparse:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # CSR support is announced as beta
                self._weight = weight.to_sparse_csr()

    def bind(self, inputs: Inputs) -> Callable[[], Any]:
        torch, weight = self._torch, self._weight
        data = torch.from_numpy(inputs[INPUT])
        features = data.T.contiguous()

        def multiply() -> Any:
            with torch.no_grad():
                return (
                    weight @ features if self._sparse else torch.nn.functional.linear(data, weight)
                )

        return multiply

    def outputs(self, result: Any) -> dict[str, NDArray[Any]]:
        out = result.numpy()
        return {OUTPUT: np.ascontiguousarray(out.T if self._sparse else out)}
