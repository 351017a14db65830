"""A layer of a model: its weight, what it is for, and where in the network it stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.errors import SparsityError

Kind = Literal["dense", "convolution"]
#: What a layer computes. `attention_output` follows attention, `intermediate` and `output` are
#: the two halves of a feed-forward network, `head` is whatever comes after the encoder.
Role = Literal[
    "query",
    "key",
    "value",
    "attention_output",
    "intermediate",
    "output",
    "pooler",
    "head",
    "embedding",
    "other",
]


@dataclass(frozen=True)
class Place:
    """What an importer says about a weight.

    Parameters
    ----------
    role : str
        What its layer is for, one of `Role`.
    block : int or None
        Number of its encoder layer, in the order of the model; None outside of all of them.
    torch_name : str
        What PyTorch's transformers call it, empty where nobody knows.
    """

    role: Role = "other"
    block: int | None = None
    torch_name: str = ""


@dataclass(frozen=True)
class Layer:
    """One layer with a weight, or several that share it.

    Parameters
    ----------
    name : str
        Canonical TensorFlow name, such as `bert/encoder/layer_._0/attention/self/query/kernel`;
        the suffix `.T` of a weight turned to (N, K) may be there or not.
    shape : (int, int)
        (N, K): outputs, inputs, however the array is stored.
    stored : {"NK", "KN"}
        Order of the axes of the stored array; TensorFlow stores "KN".
    flops : int
        Floating-point operations of all matmuls with it when dense, 2 * M * N * K each.
    obstacle : str
        Why its form cannot change, for example that an embedding look-up reads it too.
    role, block, torch_name
        Of its `Place`.
    kind : {"dense", "convolution"}
        What is done with the weight.
    """

    name: str
    shape: tuple[int, int]
    stored: Literal["NK", "KN"] = "KN"
    flops: int = 0
    obstacle: str = ""
    role: Role = "other"
    block: int | None = None
    torch_name: str = ""
    kind: Kind = "dense"

    @property
    def canonical_name(self) -> str:
        """Name without the `.T` of a transposed copy: the same in both orientations."""
        return self.name.removesuffix(".T")

    def load(self, params: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """Return the weight as (N, K), a view of the stored array.

        Raises
        ------
        SparsityError
            There is no array of that name, or its shape is another.
        """
        array = params.get(self.name)
        wanted = self.shape if self.stored == "NK" else self.shape[::-1]
        if array is None or array.shape != wanted:
            found = "no array" if array is None else f"an array of shape {array.shape}"
            raise SparsityError(f"{found} given for weight {self.name}: shape {wanted} is needed")
        return array if self.stored == "NK" else array.T

    def to_stored(self, weight: NDArray[Any]) -> NDArray[Any]:
        """Return a weight (N, K) in the order of axes in which it is stored, contiguous."""
        return np.ascontiguousarray(weight if self.stored == "NK" else weight.T)
