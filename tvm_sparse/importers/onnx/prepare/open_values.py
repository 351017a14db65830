"""What values that depend on shapes alone are for any batch and length.

ONNX Runtime computes them at some shapes. From that follows what they are: numbers, extents (sums
of products of the batch and the length), or tensors of which each shape has the front of what the
largest has. Whatever is neither is refused by its name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from tvm_sparse.errors import FrontendError

#: An extent: 1, the batch, the length and their product, each so many times.
Extent: TypeAlias = "tuple[int, int, int, int]"
#: Arrays by name, at a batch and a length.
ValuesAt: TypeAlias = "Callable[[int, int], Mapping[str, np.ndarray]]"

#: Shapes that tell extents apart, also where a limit makes some of them one: whichever of the four
#: terms vary up to it do so independently.
_SHAPES = ((2, 3), (3, 5), (5, 4), (4, 7), (1, 1), (1, 6), (2, 1))


@dataclass
class OpenValues:
    """Values that depend on shapes alone, by name.

    Attributes
    ----------
    fixed : dict of str to ndarray
        The same at all shapes.
    extents : dict of str to list of Extent
        Vectors of extents, or single ones, of which `singles` has the names.
    positions : dict of str to (ndarray, list of Extent)
        At the largest shape, and its shape in a run; one along an axis may stand for all.
    """

    fixed: dict[str, np.ndarray] = field(default_factory=dict)
    extents: dict[str, list[Extent]] = field(default_factory=dict)
    singles: list[str] = field(default_factory=list)
    positions: dict[str, tuple[np.ndarray, list[Extent]]] = field(default_factory=dict)


def find_open_values(values_at: ValuesAt, largest: tuple[int, int], name: str) -> OpenValues:
    """Return what values are at all shapes up to the largest.

    Parameters
    ----------
    values_at : callable
        Returns them at a batch and a length.
    largest : (int, int)
        The largest batch and length.
    name : str
        Of the model, for messages.

    Raises
    ------
    FrontendError
        One follows from the batch or the length in another way.
    """
    # A second sequence, whatever the limit, tells the batch from 1.
    shapes = sampled_shapes((max(largest[0], 2), largest[1]))
    runs = [values_at(*shape) for shape in shapes]
    found = OpenValues()
    for value in runs[0]:
        if not _add(found, value, shapes, [run[value] for run in runs]):
            raise FrontendError(
                f"{name}: the value {value} follows from the batch or the length in a way that is "
                "not imported: give one batch and one length, --batch N --seq-len N, not ranges"
            )
    for value, (array, shape) in found.positions.items():
        front = tuple(slice(_at(extent, *largest)) for extent in shape)
        found.positions[value] = (array[front], shape)
    return found


def sampled_shapes(largest: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the batches and lengths that values are computed at, the largest last."""
    fitting = [(min(b, largest[0]), min(s, largest[1])) for b, s in _SHAPES]
    return [*(shape for shape in dict.fromkeys(fitting) if shape != largest), largest]


def _add(
    found: OpenValues, name: str, shapes: Sequence[tuple[int, int]], arrays: Sequence[np.ndarray]
) -> bool:
    """Note what a value is, and return whether it is something."""
    last = arrays[-1]
    alike = {array.shape for array in arrays} == {last.shape}
    if alike and all(np.array_equal(array, last) for array in arrays):
        found.fixed[name] = last
        return True
    if alike and last.ndim <= 1 and last.dtype.kind == "i":
        columns = np.stack([array.reshape(-1) for array in arrays]).T
        extents = [_extent(shapes, column) for column in columns]
        if last.ndim == 0:
            found.singles.append(name)
        found.extents[name] = [extent for extent in extents if extent is not None]
        return len(found.extents[name]) == len(extents)
    if {array.ndim for array in arrays} != {last.ndim}:
        return False
    sizes = np.array([array.shape for array in arrays]).T
    extents = [_extent(shapes, column) for column in sizes]
    front = [last[tuple(map(slice, array.shape))] for array in arrays]
    if not all(np.array_equal(*pair) for pair in zip(front, arrays, strict=True)):
        return False
    found.positions[name] = (_narrowed(last), [e for e in extents if e is not None])
    return len(found.positions[name][1]) == len(extents)


def _extent(shapes: Sequence[tuple[int, int]], values: np.ndarray) -> Extent | None:
    """Return the extent that has these values at these shapes, None if there is none."""
    batches, lengths = np.array(shapes, float).T
    terms = np.stack([np.ones_like(batches), batches, lengths, batches * lengths], axis=1)
    # Lengths of 1 alone, up to a limit of 1, tell nothing from the others.
    varying = np.array([True, True, np.ptp(lengths) > 0, np.ptp(lengths) > 0])
    factors = np.zeros(len(varying))
    found = np.linalg.lstsq(terms[:, varying], values.astype(float), rcond=None)[0]
    factors[varying] = np.rint(found)
    if not np.array_equal(terms @ factors, values):
        return None
    one, batch, length, both = map(int, factors)
    return one, batch, length, both


def _at(extent: Extent, batch: int, length: int) -> int:
    one, batches, lengths, both = extent
    return one + batches * batch + lengths * length + both * batch * length


def _narrowed(array: np.ndarray) -> np.ndarray:
    """Return one along each axis along which all are alike."""
    for axis in range(array.ndim):
        first = array.take([0], axis) if array.shape[axis] > 1 else array
        array = first if (array == first).all() else array
    return array
