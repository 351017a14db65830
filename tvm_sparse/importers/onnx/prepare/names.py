"""Names of weights: an exporter that turned a matrix left it without one, its layer still has one.

`onnx::MatMul_270` is the weight of the layer whose bias is `encoder.layer.0.output.dense.bias`, or
whose node is `/encoder/layer.0/output/dense/MatMul`, or whose metadata have the module's path.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from typing import Any

from tvm_sparse.importers.onnx.prepare.graph import Graph, name_of, op_of

#: Behind names of arrays, by tools that changed them.
_SUFFIX = re.compile(
    r"(_(quantized|transposed|Q|q8|dequantized|initializer|DequantizeLinear_Output)|:\d+)+$"
)
_PATH = re.compile(r"[A-Za-z_]\w*(\.\w+)+")
_INDEX = re.compile(r"/(\d+)(?=/)")
_SCOPES = "pkg.torch.onnx.name_scopes"
#: Operators that read a matrix, and where they read the bias of the same layer.
PRODUCTS = {
    "MatMul": None,
    "Gemm": 2,
    "com.microsoft:FusedMatMul": None,
    "com.microsoft:FusedGemm": 2,
    "com.microsoft:GemmFastGelu": 2,
}
#: Operators that add a bias to what a product gives, and where they read it.
_BIASES = {
    "Add": (0, 1),
    "com.microsoft:BiasGelu": (1,),
    "com.microsoft:FastGelu": (1,),
    "com.microsoft:SkipLayerNormalization": (4,),
    "com.microsoft:SkipSimplifiedLayerNormalization": (3,),
}
_VIEWS = ("Cast", "Identity", "Reshape", "Transpose")


def name_weights(graph: Graph, weights: Iterable[str], prefix: str = "") -> dict[str, str]:
    """Return the names that a module has for weights.

    Parameters
    ----------
    graph : Graph
        That reads them.
    weights : iterable of str
        Their values in the graph.
    prefix : str
        What stands before names of a bare encoder, which do not begin with a part in common.

    Returns
    -------
    dict of str to str
        By value; no two are equal.
    """
    consumers = graph.consumers()
    paths = {value: _path(value, consumers) for value in weights}
    firsts = {path.replace("/", ".").partition(".")[0] for path in paths.values()}
    if len(firsts) < 2:
        prefix = ""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for value, path in paths.items():
        name = number = _canonical(path, prefix)
        count = 1
        while number in taken:
            count += 1
            number = f"{name}_{count}"
        taken.add(number)
        names[value] = number
    return names


def _canonical(path: str, prefix: str) -> str:
    """Return `bert/encoder/layer_._0/output/dense/weight` of a path with dots or slashes."""
    parts = [prefix] if prefix else []
    for part in path.strip("/").split("/"):
        parts += [part] if "_._" in part else part.split(".")
    cleaned = [re.sub(r"[^\w.]", "_", part) for part in parts if part]
    name = _INDEX.sub(r"_._\1", "/".join(cleaned))
    return name if name[:1].isalpha() or name.startswith("_") else f"_{name}"


def _path(value: str, consumers: dict[str, list[Any]]) -> str:
    """Return the path of a weight: its own name, or one made of its layer's."""
    own = own_path(value)
    if own:
        return own
    reader, at = _reader(value, consumers)
    if reader is None:
        return value
    op = op_of(reader)
    if op in PRODUCTS and at == 1:
        bias = _bias_of(reader, consumers)
        if bias:
            return f"{bias.rpartition('.')[0]}.weight"
    layer = _scope(reader) or _node_path(reader)
    if not layer:
        return value
    is_bias = (op == "Add") or (op in PRODUCTS and at == PRODUCTS[op]) or at in _BIASES.get(op, ())
    return f"{layer}{'/' if '/' in layer else '.'}{'bias' if is_bias else 'weight'}"


def own_path(value: str) -> str:
    """Return the name of an array if it is the path of a parameter, else an empty text."""
    name = _SUFFIX.sub("", value)
    return name if _PATH.fullmatch(name) else ""


def _reader(value: str, consumers: dict[str, list[Any]]) -> tuple[Any, int]:
    """Return the node that computes with a value, and where it reads it."""
    for node in consumers.get(value, ()):
        if op_of(node) in _VIEWS:
            found = _reader(node.output[0], consumers)
            if found[0] is not None:
                return found
        else:
            return node, list(node.input).index(value)
    return None, 0


def _bias_of(product: Any, consumers: dict[str, list[Any]]) -> str:
    """Return the path of the bias that is added to a product, if it has one."""
    at = PRODUCTS[op_of(product)]
    if at is not None and len(product.input) > at and (path := own_path(product.input[at])):
        return path
    for node in consumers.get(product.output[0], ()):
        if op_of(node) in _VIEWS and (path := _bias_of_value(node.output[0], consumers)):
            return path
    return _bias_of_value(product.output[0], consumers)


def _bias_of_value(value: str, consumers: dict[str, list[Any]]) -> str:
    for node in consumers.get(value, ()):
        for at in _BIASES.get(op_of(node), ()):
            if len(node.input) > at and (path := own_path(node.input[at])):
                return path
    return ""


def layer_behind(value: str, consumers: dict[str, list[Any]]) -> str:
    """Return the path of the attention whose output layer a value goes to, if that has one."""
    for node in consumers.get(value, ()):
        bias = _bias_of(node, consumers) if op_of(node) in PRODUCTS else ""
        parts = bias.split(".")
        ends = [at for at, part in enumerate(parts) if part in ("attention", "attn", "self_attn")]
        if ends:
            return ".".join(parts[: ends[-1] + 1])
    return ""


def _scope(node: Any) -> str:
    """Return the module's path that PyTorch's exporter notes, an empty text without."""
    text = next((p.value for p in node.metadata_props if p.key == _SCOPES), "")
    try:
        scopes = ast.literal_eval(text) if text else []
    except (ValueError, SyntaxError):
        return ""
    # The last is the operator's own.
    return str(scopes[-2]) if len(scopes) > 1 else ""


def _node_path(node: Any) -> str:
    """Return the path in `/encoder/layer.0/output/dense/MatMul`."""
    return name_of(node).strip("/").rpartition("/")[0]
