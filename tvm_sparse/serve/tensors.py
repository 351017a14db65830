"""Tensors of the Open Inference Protocol, of requests and answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.serve.refusal import wrong

BYTES = "BYTES"
#: Names of the protocol and of numpy.
DTYPES = {
    "BOOL": "bool",
    **{f"INT{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": f"float{bits}" for bits in (16, 32, 64)},
}
DATATYPES = {name: datatype for datatype, name in DTYPES.items()}
#: By the dtype itself: its name takes numpy ten microseconds.
_OF_ARRAYS = {np.dtype(dtype): datatype for dtype, datatype in DATATYPES.items()}


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output of a request.

    Attributes
    ----------
    datatype : str
        A key of `DTYPES`, or `BYTES`.
    shape : tuple of int
        Its extents.
    values : ndarray or list of bytes
        An array of that shape; of `BYTES` a list, whatever the shape.
    """

    datatype: str
    shape: tuple[int, ...]
    values: Any

    def texts(self, name: str) -> list[str]:
        """Return its elements as texts.

        Raises
        ------
        Refusal
            One is not in UTF-8.
        """
        try:
            return [one if isinstance(one, str) else one.decode() for one in self.values]
        except UnicodeDecodeError:
            raise wrong(f"input '{name}' holds an element that is not in UTF-8") from None


@dataclass(frozen=True)
class TensorPlace:
    """An input or output that a model has.

    Attributes
    ----------
    name, datatype : str
        Its name and its type in the protocol.
    shape : tuple of int
        Its extents, -1 for what the request decides.
    optional : bool
        Whether an input may be left out.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    optional: bool = False


def of_numbers(values: NDArray[Any]) -> Tensor:
    """Return an array as a tensor."""
    return Tensor(_OF_ARRAYS[values.dtype], values.shape, values)


def of_texts(texts: Sequence[str], shape: tuple[int, ...] | None = None) -> Tensor:
    """Return texts as a tensor, of one axis by default."""
    return Tensor(BYTES, shape or (len(texts),), [text.encode() for text in texts])
