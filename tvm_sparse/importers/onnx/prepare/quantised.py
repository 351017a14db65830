"""Quantised graphs become those of float32: weights keep their values, and their zeros.

Whatever a quantised graph passes on stands for a float; here it is that float. So what quantises
activations becomes nothing, what multiplies integers multiplies floats, and the quantised weights
are dequantised. Formats: QDQ, QLinear*, MatMulInteger as dynamic quantisation writes it, and the
operators ONNX Runtime fuses of these.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from onnx import helper

from tvm_sparse.importers.onnx.prepare.dequantised_weights import DequantisedWeights
from tvm_sparse.importers.onnx.prepare.graph import Graph, attribute, op_of
from tvm_sparse.importers.onnx.prepare.product_scales import fold_scales

_OWN = "com.microsoft"
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
    fold_scales(graph, work.products)
    return work.found


class _Dequantisation:
    """A rule for each quantised operator.

    Attributes
    ----------
    found : bool
        Whether there was one.
    products : list of (node, str)
        Products of integers whose scale comes behind them, and their weights.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph, self._weights = graph, DequantisedWeights(graph)
        self.products: list[tuple[Any, str]] = []
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

    def _add(self, node: Any, op: str, inputs: Sequence[str], domain: str = "") -> Any:
        """Add a node in place of another, with what it has of attributes."""
        new = helper.make_node(op, list(inputs), list(node.output)[:1], domain=domain)
        new.name = node.name
        new.attribute.extend(a for a in node.attribute if a.name not in _DROPPED)
        new.metadata_props.extend(node.metadata_props)
        self._graph.nodes.append(new)
        self.found = True
        return new

    def _identity(self, node: Any) -> None:
        new = helper.make_node("Identity", [node.input[0]], [node.output[0]], name=node.name)
        self._graph.nodes.append(new)
        self.found = True

    def _dequantise(self, node: Any) -> None:
        self._weights.give_part(node, 0, attribute(node, "axis", 1))
        self._identity(node)

    def _quantise(self, node: Any) -> None:
        array = self._graph.arrays.get(node.input[0])
        if array is None or array.size <= 1:
            self._identity(node)
            return
        scale, zero = np.asarray(self._weights.known(node, 1)), self._weights.known(node, 2)
        zero = np.zeros((), np.uint8) if zero is None else zero
        shape = [1] * array.ndim
        shape[attribute(node, "axis", 1) if scale.size > 1 else 0] = scale.size
        scale, limits = scale.reshape(shape), np.iinfo(zero.dtype)
        zero = zero.astype(np.float32).reshape(shape if zero.size > 1 else [1] * array.ndim)
        rounded = np.clip(np.rint(array / scale) + zero, limits.min, limits.max)
        self._weights.keep(node.output[0], ((rounded - zero) * scale).astype(np.float32))
        self.found = True

    def _quantise_dynamically(self, node: Any) -> None:
        self._identity(node)
        for name, value in zip(list(node.output)[1:], (1.0, 0.0), strict=False):
            self._weights.keep(name, np.asarray(value, np.float32))

    def _integer_product(self, node: Any) -> None:
        if self._weights.is_weight(node.input[1]):
            weight = self._weights.give_centred(node, 1, 3)
            self.products.append((self._add(node, "MatMul", [node.input[0], weight]), weight))
            return
        self._add(node, "MatMul", [node.input[0], self._weights.give_part(node, 1)])

    def _scaled_product(self, node: Any) -> None:
        """MatMulIntegerToFloat(a, b, a_scale, b_scale, a_zero, b_zero, bias), or without a's."""
        scale, zero, bias = (3, 5, 6) if op_of(node).endswith("ToFloat") else (2, 3, 4)
        self._weights.give(node, 1, scale, zero)
        self._with_bias(node, list(node.input)[:2], bias)

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
        is_turned = bool(attribute(node, "transB", 0))
        scales = self._weights.known(node, 1), self._weights.known(node, 4)
        operands = [
            self._weights.give_part(node, 0),
            self._weights.give_part(node, 3, axis=0 if is_turned else 1),
        ]
        if len(node.input) > 6 and node.input[6]:
            operands.append(self._weights.give_bias(node, 6, scales))
        self._add(node, "Gemm", operands)

    def _convolution(self, node: Any) -> None:
        scales = self._weights.known(node, 1), self._weights.known(node, 4)
        operands = [self._weights.give_part(node, 0), self._weights.give_part(node, 3, axis=0)]
        if len(node.input) > 8 and node.input[8]:
            operands.append(self._weights.give_bias(node, 8, scales))
        self._add(node, "Conv", operands)

    def _concat(self, node: Any) -> None:
        places = range(2, len(node.input), 3)
        self._add(node, "Concat", [self._weights.give_part(node, at) for at in places])

    def _attention(self, node: Any) -> None:
        given = [node.input[0], self._weights.give(node, 1, 4, 7), node.input[2]]
        mask = node.input[5] if len(node.input) > 5 else ""
        self._add(node, "Attention", [*given, mask] if mask else given, _OWN)

    def _embedding(self, node: Any) -> None:
        """Ids, segments, three tables, gain and bias, a mask, then five scales and zero points."""
        for i, at in enumerate(range(2, 7)):
            if node.input[at]:
                self._weights.give(node, at, 8 + i, 13 + i)
        new = self._add(node, "EmbedLayerNormalization", list(node.input)[:8], _OWN)
        new.output.extend(list(node.output)[1:])

    def _elementwise(self, node: Any) -> None:
        op, places = _FLOATS[op_of(node).rpartition(":")[2]]
        self._add(node, op, [self._weights.give_part(node, at) for at in places])
