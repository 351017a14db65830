"""ONNX files for tests, built without PyTorch; among them a small BERT as exporters write it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

needs_onnx = pytest.mark.skipif(
    find_spec("onnx") is None or find_spec("onnxruntime") is None,
    reason="onnx or onnxruntime is not installed (the extra 'onnx')",
)

_OPSET, _IR_VERSION = 17, 10


class GraphMaker:
    """A graph, node by node; values are names."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.weights: dict[str, np.ndarray] = {}
        self.inputs: dict[str, tuple[str, Sequence[Any]]] = {}
        self.outputs: list[str] = []
        self._path = ""

    @contextmanager
    def within(self, path: str) -> Iterator[None]:
        """Name nodes as those of a module: `/encoder/layer.0/output/dense/MatMul`."""
        before, self._path = self._path, path
        yield
        self._path = before

    def input(self, name: str, dtype: str, shape: Sequence[Any]) -> str:
        self.inputs[name] = (dtype, shape)
        return name

    def weight(self, name: str, value: Any) -> str:
        self.weights[name] = np.asarray(value)
        return name

    def constant(self, value: Any, dtype: str = "int64") -> str:
        return self.weight(f"constant_{len(self.weights)}", np.asarray(value, dtype))

    def add(self, op: str, *inputs: str, outputs: int = 1, domain: str = "", **attributes: Any):
        from onnx import helper

        path = f"/{self._path}/".replace("//", "/") + op
        names = [f"{path}_{len(self.nodes)}_output_{i}" for i in range(outputs)]
        name = f"{path}_{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(op, inputs, names, name=name, domain=domain, **attributes)
        )
        return names[0] if outputs == 1 else names

    def output(self, name: str, value: str) -> None:
        from onnx import helper

        self.nodes.append(helper.make_node("Identity", [value], [name], name=f"out_{name}"))
        self.outputs.append(name)

    def model(self, opset: int = _OPSET, **fields: Any) -> Any:
        from onnx import TensorProto, ValueInfoProto, helper, numpy_helper

        numbers = {"int64": TensorProto.INT64, "int32": TensorProto.INT32}
        numbers |= {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16}
        graph = helper.make_graph(
            self.nodes,
            "test",
            [
                helper.make_tensor_value_info(name, numbers[dtype], list(shape))
                for name, (dtype, shape) in self.inputs.items()
            ],
            [ValueInfoProto(name=name) for name in self.outputs],
            [numpy_helper.from_array(value, name) for name, value in self.weights.items()],
        )
        opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(graph, opset_imports=opsets, **fields)
        model.ir_version = _IR_VERSION
        return model

    def save(self, path: Path, external: bool = False, **fields: Any) -> Path:
        """Write the file, its weights in `weights.bin` beside it if so."""
        import onnx

        options = {"save_as_external_data": True, "location": "weights.bin", "size_threshold": 100}
        onnx.save_model(self.model(**fields), str(path), **(options if external else {}))
        return path


def bert_graph(
    tensors: Mapping[str, np.ndarray], heads: int, length: Any = "sequence", batch: Any = "batch"
) -> GraphMaker:
    """A BERT as PyTorch's exporter writes it.

    Matrices are turned and nameless, norms and GELU written out, shapes computed of shapes.
    """
    maker = GraphMaker()
    ids, mask, types = (
        maker.input(name, "int64", (batch, length))
        for name in ("input_ids", "attention_mask", "token_type_ids")
    )

    def dense(x: str, path: str) -> str:
        with maker.within(path.replace(".", "/")):
            turned = np.ascontiguousarray(tensors[f"{path}.weight"].T)
            weight = maker.weight(f"onnx::MatMul_{len(maker.weights)}", turned)
            product = maker.add("MatMul", x, weight)
            bias = maker.weight(f"{path}.bias", tensors[f"{path}.bias"])
            return maker.add("Add", bias, product)

    def norm(x: str, path: str) -> str:
        mean = maker.add("ReduceMean", x, axes=[-1])
        difference = maker.add("Sub", x, mean)
        power = maker.add("Pow", difference, maker.constant(2.0, "float32"))
        variance = maker.add("ReduceMean", power, axes=[-1])
        total = maker.add("Add", variance, maker.constant(1e-12, "float32"))
        normed = maker.add("Div", difference, maker.add("Sqrt", total))
        gain = maker.weight(f"{path}.weight", tensors[f"{path}.weight"])
        bias = maker.weight(f"{path}.bias", tensors[f"{path}.bias"])
        return maker.add("Add", maker.add("Mul", normed, gain), bias)

    def table(name: str) -> str:
        path = f"embeddings.{name}.weight"
        return maker.weight(path, tensors[path])

    extent = maker.add("Gather", maker.add("Shape", ids), maker.constant(1), axis=0)
    every = maker.constant(np.arange(len(tensors["embeddings.position_embeddings.weight"]))[None])
    end = maker.add("Unsqueeze", extent, maker.constant([0]))
    positions = maker.add("Slice", every, maker.constant([0]), end, maker.constant([1]))
    words = maker.add("Gather", table("word_embeddings"), ids)
    segments = maker.add("Gather", table("token_type_embeddings"), types)
    placed = maker.add("Gather", table("position_embeddings"), positions)
    x = norm(maker.add("Add", maker.add("Add", words, segments), placed), "embeddings.LayerNorm")
    wide = maker.add("Cast", maker.add("Unsqueeze", mask, maker.constant([1, 2])), to=1)
    hidden = maker.add("Sub", maker.constant(1.0, "float32"), wide)
    bias = maker.add("Mul", hidden, maker.constant(np.finfo("float32").min, "float32"))
    width = len(tensors["embeddings.LayerNorm.weight"])
    blocks = {name.split(".")[2] for name in tensors if name.startswith("encoder.layer.")}

    def split(value: str, order: list[int]) -> str:
        shape = maker.constant([0, 0, heads, width // heads])
        return maker.add("Transpose", maker.add("Reshape", value, shape), perm=order)

    for block in sorted(blocks):
        layer = f"encoder.layer.{block}"
        query, key, value = (
            split(dense(x, f"{layer}.attention.self.{name}"), order)
            for name, order in (
                ("query", [0, 2, 1, 3]),
                ("key", [0, 2, 3, 1]),
                ("value", [0, 2, 1, 3]),
            )
        )
        scores = maker.add("MatMul", query, key)
        root = maker.constant((width // heads) ** 0.5, "float32")
        scores = maker.add("Add", maker.add("Div", scores, root), bias)
        mixed = maker.add("MatMul", maker.add("Softmax", scores, axis=-1), value)
        mixed = maker.add("Transpose", mixed, perm=[0, 2, 1, 3])
        mixed = maker.add("Reshape", mixed, maker.constant([0, 0, width]))
        attended = dense(mixed, f"{layer}.attention.output.dense")
        x = norm(maker.add("Add", attended, x), f"{layer}.attention.output.LayerNorm")
        inner = dense(x, f"{layer}.intermediate.dense")
        gate = maker.add("Erf", maker.add("Div", inner, maker.constant(2**0.5, "float32")))
        gate = maker.add("Add", gate, maker.constant(1.0, "float32"))
        inner = maker.add("Mul", maker.add("Mul", inner, gate), maker.constant(0.5, "float32"))
        x = norm(
            maker.add("Add", dense(inner, f"{layer}.output.dense"), x), f"{layer}.output.LayerNorm"
        )
    maker.output("last_hidden_state", x)
    first = maker.add("Gather", x, maker.constant(0), axis=1)
    weight = maker.weight("pooler.dense.weight", tensors["pooler.dense.weight"])
    pooled = maker.add(
        "Gemm",
        first,
        weight,
        maker.weight("pooler.dense.bias", tensors["pooler.dense.bias"]),
        transB=1,
    )
    maker.output("pooler_output", maker.add("Tanh", pooled))
    return maker
