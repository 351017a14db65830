"""The weights of a quantised graph as the floats they stand for."""

from __future__ import annotations

from typing import Any

import numpy as np

from tvm_sparse.errors import FrontendError
from tvm_sparse.importers.onnx.prepare.graph import Graph, attribute, name_of, op_of

#: They give integers in another order, or some of them.
_VIEWS = ("Flatten", "Gather", "Identity", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze")


class DequantisedWeights:
    """Arrays of a graph, each dequantised once: an integer, less the zero point, times the scale.

    Integers can be found again from these (`formats.integer_rows`).

    Parameters
    ----------
    graph : Graph
        Its arrays are changed in place.
    """

    def __init__(self, graph: Graph) -> None:
        self.arrays = graph.arrays
        self._producers = graph.producers()
        self._done: set[str] = set()

    def known(self, node: Any, at: int) -> np.ndarray | None:
        """Return an array that a node is given, None if it is given none.

        Raises FrontendError if it follows from an input.
        """
        name = node.input[at] if len(node.input) > at else ""
        if name and name not in self.arrays:
            raise unread(node, "its scale or zero point follows from an input")
        return self.arrays[name] if name else None

    def is_weight(self, name: str) -> bool:
        """Return whether a value is an array that nothing has dequantised."""
        return name in self.arrays and name not in self._done

    def keep(self, name: str, array: np.ndarray) -> None:
        """Give a value an array of floats."""
        self.arrays[name] = array
        self._done.add(name)

    def give(self, node: Any, at: int, scale: int, zero: int, axis: int | None = None) -> str:
        """Dequantise the weight at an input, given where its scale and zero point stand.

        Raises FrontendError if it is no weight.
        """
        name = str(node.input[at])
        if name not in self.arrays:
            raise unread(node, "a product of two activations")
        if self.is_weight(name):
            self._dequantise(node, name, self.known(node, scale), self.known(node, zero), axis)
        return name

    def give_centred(self, node: Any, at: int, zero: int) -> str:
        """Take the zero point from the integers at an input; their scale comes behind a product."""
        self._dequantise(node, name := str(node.input[at]), None, self.known(node, zero), None)
        return name

    def give_part(self, node: Any, at: int, axis: int | None = None) -> str:
        """Dequantise the weight that an input is, or is a part of; whatever else it is stays.

        Scale and zero point stand behind it; `axis` is that of scales of their own.
        """
        value = source = str(node.input[at])
        while source not in self.arrays and (maker := self._producers.get(source)) is not None:
            if op_of(maker) not in _VIEWS:
                return value
            source = maker.input[0]
        if self.is_weight(source):
            scales, zero = self.known(node, at + 1), self.known(node, at + 2)
            if source != value and scales is not None and scales.size > 1:
                raise unread(node, "a part of a weight with scales of its own")
            self._dequantise(node, source, scales, zero, axis)
        return value

    def give_bias(
        self, node: Any, at: int, scales: tuple[np.ndarray | None, np.ndarray | None]
    ) -> str:
        """Dequantise a bias of integers, in units of the scales of both operands."""
        name = str(node.input[at])
        if self.is_weight(name):
            left, right = (np.asarray(scale, np.float32) for scale in scales)
            self.keep(name, (self.arrays[name] * (left * right).reshape(-1)).astype(np.float32))
        return name

    def _dequantise(
        self,
        node: Any,
        name: str,
        scale: np.ndarray | None,
        zero: np.ndarray | None,
        axis: int | None,
    ) -> None:
        array = self.arrays[name]
        scale = np.asarray(1.0 if scale is None else scale, np.float32)
        zero = np.zeros((), np.int32) if zero is None else np.asarray(zero).astype(np.int32)
        block = attribute(node, "block_size", 0)
        if block:
            at = attribute(node, "axis", 1)
            scale = np.repeat(scale, block, at)
            zero = np.repeat(zero, block, at) if zero.ndim else zero
        elif scale.size > 1:
            shape = [1] * array.ndim
            shape[-1 if axis is None else axis] = scale.size
            scale, zero = scale.reshape(shape), zero.reshape(shape) if zero.size > 1 else zero
        elif scale.ndim:
            scale, zero = scale.reshape(()), zero.reshape(())
        self.keep(name, ((array.astype(np.int32) - zero) * scale).astype(np.float32))


def unread(node: Any, what: str) -> FrontendError:
    """Return the error of a node that is quantised in a way that is not imported."""
    return FrontendError(f"node {name_of(node)} ({op_of(node)}): {what}, which is not imported")
