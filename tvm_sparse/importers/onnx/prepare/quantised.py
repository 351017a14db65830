"""Quantised graphs become those of float32: weights keep their values, and their zeros.

Whatever a quantised graph passes on stands for a float: an integer, less the zero point, times the
scale. Here it is that float. So what quantises activations becomes nothing, what multiplies
integers multiplies floats, and the quantised weights are dequantised. Formats: QDQ, QLinear*,
MatMulInteger as dynamic quantisation writes it, and the operators ONNX Runtime fuses of these.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from onnx import helper

from tvm_sparse.errors import FrontendError
from tvm_sparse.importers.onnx.prepare.graph import Graph, attribute, name_of, op_of

_OWN = "com.microsoft"
#: They give integers in another order, or some of them.
_VIEWS = ("Flatten", "Gather", "Identity", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze")
#: Operators on quantised tensors, each with scale and zero point, to those on floats, and where
#: the tensors stand.
_FLOATS = {
    "QLinearAdd": ("Add", (0, 3)),
    "QLinearAveragePool": ("AveragePool", (0,)),
    "QLinearGlobalAveragePool": ("GlobalAveragePool", (0,)),
    "QLinearLeakyRelu": ("LeakyRelu", (0,)),
    "QLinearMatMul": ("MatMul", (0, 3)),
    "QLinearMul": ("Mul", (0, 3)),
    "QLinearReduceMean": ("ReduceMean", (0,)),
    "QLinearSigmoid": ("Sigmoid", (0,)),
    "QLinearSoftmax": ("Softmax", (0,)),
}
#: Attributes of quantised operators alone.
_DROPPED = ("channels_last", "opset", "block_size", "saturate", "output_dtype", "precision")


def dequantise(graph: Graph) -> bool:
    """Rewrite a graph in place, and return whether anything in it was quantised.

    Raises
    ------
    FrontendError
        It is quantised in a way that is not imported.
    """
    work = _Dequantisation(graph)
    before, graph.nodes = graph.nodes, []
    for node in before:
        rule = work.rules.get(op_of(node).rpartition(":")[2])
        if rule is None:
            graph.nodes.append(node)
        else:
            rule(node)
    work.fold_scales()
    return work.found


class _Dequantisation:
    def __init__(self, graph: Graph) -> None:
        self._graph, self._arrays = graph, graph.arrays
        self._producers = graph.producers()
        self._done: set[str] = set()
        self._products: list[tuple[Any, str]] = []
        self.found = False
        self.rules: dict[str, Callable[[Any], None]] = {
            "DequantizeLinear": self._dequantise,
            "QuantizeLinear": self._quantise,
            "DynamicQuantizeLinear": self._quantise_dynamically,
            "MatMulInteger": self._integer_product,
            "MatMulIntegerToFloat": self._scaled_product,
            "DynamicQuantizeMatMul": self._scaled_product,
            "QGemm": self._gemm,
            "QLinearConv": self._convolution,
            "QLinearConcat": self._concat,
            "QAttention": self._attention,
            "QEmbedLayerNormalization": self._embedding,
            **dict.fromkeys(_FLOATS, self._elementwise),
        }

    def fold_scales(self) -> None:
        """Put the scale behind a product of integers into its weight."""
        consumers, producers = self._graph.consumers(), self._graph.producers()
        for product, weight in self._products:
            value, passed = product.output[0], []
            while len(readers := consumers.get(value, [])) == 1 and op_of(readers[0]) == "Cast":
                passed.append(readers[0])
                value = readers[0].output[0]
            if len(readers) != 1 or op_of(readers[0]) != "Mul":
                continue
            (other,) = [name for name in readers[0].input if name != value] or [""]
            scale = self._known_product(other, producers)
            array = self._arrays[weight]
            if scale is None or scale.size not in (1, array.shape[-1]) or scale.ndim > 1:
                continue
            self._arrays[weight] = array * scale
            for node in (*passed, readers[0]):
                source = node.input[0] if op_of(node) == "Cast" else value
                self._replace(node, helper.make_node("Identity", [source], list(node.output)))

    def _replace(self, old: Any, new: Any) -> None:
        at = next(i for i, node in enumerate(self._graph.nodes) if node is old)
        new.name = old.name
        self._graph.nodes[at] = new

    def _known_product(self, name: str, producers: dict[str, Any]) -> np.ndarray | None:
        if name in self._arrays:
            return self._arrays[name]
        node = producers.get(name)
        if node is None or op_of(node) != "Mul" or not all(n in self._arrays for n in node.input):
            return None
        left, right = (self._arrays[n] for n in node.input)
        return np.asarray(left * right)

    def _add(self, node: Any, op: str, inputs: Sequence[str], domain: str = "") -> Any:
        """Add a node in place of another, with what it has of attributes."""
        new = helper.make_node(op, list(inputs), list(node.output)[:1], domain=domain)
        new.name = node.name
        new.attribute.extend(a for a in node.attribute if a.name not in _DROPPED)
        new.metadata_props.extend(node.metadata_props)
        self._graph.nodes.append(new)
        self.found = True
        return new

    def _value(self, node: Any, at: int) -> np.ndarray | None:
        """Return an array that a node is given, None if it is given none."""
        name = node.input[at] if len(node.input) > at else ""
        if name and name not in self._arrays:
            raise self._error(node, "its scale or zero point follows from an input")
        return self._arrays[name] if name else None

    def _error(self, node: Any, what: str) -> FrontendError:
        return FrontendError(f"node {name_of(node)} ({op_of(node)}): {what}, which is not imported")

    def _float(self, node: Any, at: int, scale: int | None = None, axis: int | None = None) -> str:
        """Return the float that stands at an input; a weight is dequantised.

        Its scale and zero point stand behind it, or at `scale`; `axis` is that of scales of their
        own.
        """
        first = at + 1 if scale is None else scale
        self._make_float(node, node.input[at], first, axis)
        return str(node.input[at])

    def _make_float(self, node: Any, value: str, scale: int, axis: int | None = None) -> None:
        """Dequantise the weight that a value is, or is a part of; whatever else it is stays."""
        source = value
        while source not in self._arrays and (maker := self._producers.get(source)) is not None:
            if op_of(maker) not in _VIEWS:
                return
            source = maker.input[0]
        if source not in self._arrays or source in self._done:
            return
        scales, zero = self._value(node, scale), self._value(node, scale + 1)
        if source != value and scales is not None and scales.size > 1:
            raise self._error(node, "a part of a weight with scales of its own")
        self._arrays[source] = self._dequantised(node, self._arrays[source], scales, zero, axis)
        self._done.add(source)

    def _dequantised(
        self,
        node: Any,
        array: np.ndarray,
        scale: np.ndarray | None,
        zero: np.ndarray | None,
        axis: int | None,
    ) -> np.ndarray:
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
        return ((array.astype(np.int32) - zero) * scale).astype(np.float32)

    def _dequantise(self, node: Any) -> None:
        self._make_float(node, node.input[0], 1, attribute(node, "axis", 1))
        self._identity(node)

    def _quantise(self, node: Any) -> None:
        source = node.input[0]
        if source in self._arrays and self._arrays[source].size > 1:
            array, scale = self._arrays[source], np.asarray(self._value(node, 1))
            zero = self._value(node, 2)
            zero = np.zeros((), np.uint8) if zero is None else zero
            shape = [1] * array.ndim
            shape[attribute(node, "axis", 1) if scale.size > 1 else 0] = scale.size
            scale, limits = scale.reshape(shape), np.iinfo(zero.dtype)
            zero = zero.astype(np.float32).reshape(shape if zero.size > 1 else [1] * array.ndim)
            rounded = np.clip(np.rint(array / scale) + zero, limits.min, limits.max)
            self._arrays[node.output[0]] = ((rounded - zero) * scale).astype(np.float32)
            self._done.add(node.output[0])
            self.found = True
            return
        self._identity(node)

    def _identity(self, node: Any) -> None:
        new = helper.make_node("Identity", [node.input[0]], [node.output[0]], name=node.name)
        self._graph.nodes.append(new)
        self.found = True

    def _quantise_dynamically(self, node: Any) -> None:
        self._identity(node)
        for name, value in zip(list(node.output)[1:], (1.0, 0.0), strict=False):
            self._arrays[name] = np.asarray(value, np.float32)
            self._done.add(name)

    def _integer_product(self, node: Any) -> None:
        weight = node.input[1]
        if weight in self._arrays and weight not in self._done:
            zero = self._value(node, 3)
            self._arrays[weight] = self._dequantised(node, self._arrays[weight], None, zero, None)
            self._done.add(weight)
            self._products.append((self._add(node, "MatMul", [node.input[0], weight]), weight))
            return
        self._add(node, "MatMul", [node.input[0], self._float(node, 1)])

    def _scaled_product(self, node: Any) -> None:
        """MatMulIntegerToFloat(a, b, a_scale, b_scale, a_zero, b_zero, bias), or without a's."""
        scale, zero, bias = (3, 5, 6) if op_of(node).endswith("ToFloat") else (2, 3, 4)
        self._weight(node, 1, scale, zero)
        self._with_bias(node, list(node.input)[:2], bias)

    def _weight(self, node: Any, at: int, scale: int, zero: int) -> str:
        """Dequantise a weight whose zero point does not stand behind its scale."""
        name = str(node.input[at])
        if name not in self._arrays:
            raise self._error(node, "a product of two activations")
        if name not in self._done:
            scales, zeros = self._value(node, scale), self._value(node, zero)
            array = self._arrays[name]
            self._arrays[name] = self._dequantised(node, array, scales, zeros, None)
            self._done.add(name)
        return name

    def _with_bias(self, node: Any, operands: Sequence[str], at: int) -> None:
        bias = node.input[at] if len(node.input) > at else ""
        product = self._add(node, "MatMul", operands)
        if bias:
            name = f"{product.output[0]}_without_bias"
            total = helper.make_node("Add", [name, bias], [product.output[0]])
            total.name = f"{node.name}_bias"
            product.output[0] = name
            self._graph.nodes.append(total)

    def _gemm(self, node: Any) -> None:
        operands = [self._float(node, 0), self._float(node, 3, axis=0 if _turned(node) else 1)]
        if len(node.input) > 6 and node.input[6]:
            operands.append(self._bias(node, 6, 3))
        self._add(node, "Gemm", operands)

    def _convolution(self, node: Any) -> None:
        scales = (self._value(node, 1), self._value(node, 4))
        operands = [self._float(node, 0), self._float(node, 3, axis=0)]
        if len(node.input) > 8 and node.input[8]:
            operands.append(self._bias(node, 8, 3, scales))
        self._add(node, "Conv", operands)

    def _bias(self, node: Any, at: int, weight: int, scales: tuple[Any, Any] | None = None) -> str:
        """Return a bias of integers, in units of both scales, as floats."""
        name = node.input[at]
        if name in self._arrays and name not in self._done:
            left, right = scales or (self._value(node, 1), self._value(node, weight + 1))
            scale = np.asarray(left, np.float32) * np.asarray(right, np.float32)
            self._arrays[name] = (self._arrays[name] * scale.reshape(-1)).astype(np.float32)
            self._done.add(name)
        return name

    def _concat(self, node: Any) -> None:
        self._add(node, "Concat", [self._float(node, at) for at in range(2, len(node.input), 3)])

    def _attention(self, node: Any) -> None:
        given = [node.input[0], self._weight(node, 1, 4, 7), node.input[2]]
        mask = node.input[5] if len(node.input) > 5 else ""
        self._add(node, "Attention", [*given, mask] if mask else given, _OWN)

    def _embedding(self, node: Any) -> None:
        """Ids, segments, three tables, gain and bias, a mask, then five scales and zero points."""
        for i, at in enumerate(range(2, 7)):
            if node.input[at]:
                self._weight(node, at, 8 + i, 13 + i)
        new = self._add(node, "EmbedLayerNormalization", list(node.input)[:8], _OWN)
        new.output.extend(list(node.output)[1:])

    def _elementwise(self, node: Any) -> None:
        op, places = _FLOATS[op_of(node).rpartition(":")[2]]
        self._add(node, op, [self._float(node, at) for at in places])


def _turned(node: Any) -> bool:
    return bool(attribute(node, "transB", 0))
