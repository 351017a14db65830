"""A model's inputs at the shape that is asked for, and values for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from onnx.helper import make_node, tensor_dtype_to_np_dtype
from onnx.numpy_helper import from_array

from tvm_sparse.config.model import ModelSpec
from tvm_sparse.errors import FrontendError
from tvm_sparse.importers.onnx.prepare.graph import Graph, op_of
from tvm_sparse.importers.reference_inputs import reference_inputs
from tvm_sparse.importers.reference_shapes import OPEN_AXES, check_open
from tvm_sparse.model.facts import TensorSpec
from tvm_sparse.sources.onnx_file import OnnxFile, OnnxTensor

#: What transformers calls inputs, of which reference values are made as for other importers.
_TEXT = ("input_ids", "attention_mask", "token_type_ids")
_IMAGE = "pixel_values"
#: Values of inputs of integers that look nothing up: masks and segments.
_SMALL = 2
#: dtypes of inputs to those of the module.
_DTYPES = {
    **dict.fromkeys(("int64", "int32", "int16", "int8", "uint8"), "int32"),
    **dict.fromkeys(("float32", "float16", "float64"), "float32"),
    "bool": "bool",
}
#: They pass ids on as they are.
_PASSING = ("Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze")
#: Where operators look ids up: the input that has them to that of the table.
_LOOK_UPS = {
    "Gather": {1: 0},
    "com.microsoft:EmbedLayerNormalization": {0: 2, 1: 4, 8: 3},
}


def signature(
    file: OnnxFile, graph: Graph, spec: ModelSpec, config: Mapping[str, Any]
) -> tuple[TensorSpec, ...]:
    """Return the inputs of a model for a batch.

    Raises
    ------
    FrontendError
        The file fixes another shape, or leaves one open that nothing here says.
    """
    names = {i.name for i in graph.inputs}
    inputs = [tensor for tensor in file.inputs if tensor.name in names]
    for tensor in inputs:
        if tensor.dtype not in _DTYPES or not tensor.shape:
            kind = f"of {tensor.dtype or 'unknown type'}" if tensor.shape else "without a shape"
            raise FrontendError(
                f"{file.path} has the input {tensor.name} {kind}: numbers with a batch are taken"
            )
    if not inputs:
        raise FrontendError(f"{file.path} has no inputs")
    extents = _named_extents(inputs, spec, config)
    specs = []
    for tensor in inputs:
        shape = tuple(_extent(file, tensor, at, extents) for at in range(len(tensor.shape or ())))
        rows = _rows(graph, tensor.name)
        specs.append(TensorSpec(tensor.name, shape, _DTYPES[tensor.dtype], rows))
    if spec.is_open:
        check_open(file.path.name, specs)
        _check_open_axes(file, inputs)
        return tuple(replace(one, axes=OPEN_AXES) for one in specs)
    _check_shapes(file, specs, spec)
    return tuple(specs)


def bind_single(graph: Graph, inputs: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    """Have a model of texts take `input_ids` alone: masks keep all, segments are the first.

    They are made as large as the ids are, whatever their shape.

    Returns
    -------
    tuple of TensorSpec
        The inputs that are left.

    Raises
    ------
    FrontendError
        It takes something else besides.
    """
    shapes = {one.name: one.shape for one in inputs}
    if "input_ids" not in shapes:
        return tuple(inputs)
    made = [make_node("Shape", ["input_ids"], ["input_ids/shape"])]
    for given in [one for one in graph.inputs if one.name != "input_ids"]:
        name = given.name
        if name not in _TEXT or shapes[name] != shapes["input_ids"]:
            raise FrontendError(f"--inputs single given, but the model takes {name} besides ids")
        dtype = tensor_dtype_to_np_dtype(given.type.tensor_type.elem_type)
        value = from_array(np.array([name == "attention_mask"]).astype(dtype))
        made.append(make_node("ConstantOfShape", ["input_ids/shape"], [name], value=value))
        graph.inputs.remove(given)
    graph.nodes[:0] = made
    kept = list(graph.inputs)
    del graph.model.graph.input[:]
    graph.model.graph.input.extend(kept)
    return tuple(one for one in inputs if one.name == "input_ids")


def is_batched(file: OnnxFile) -> bool:
    """Whether a file leaves the batch of all its inputs open."""
    return all(tensor.shape and isinstance(tensor.shape[0], str) for tensor in file.inputs)


def _named_extents(
    inputs: Sequence[OnnxTensor], spec: ModelSpec, config: Mapping[str, Any]
) -> dict[tuple[str, int] | str, int]:
    """Return extents by (input, axis), and by the names that inputs of ids give them."""
    found: dict[tuple[str, int] | str, int] = {}
    size = config.get("image_size", 224)
    sides = [size, size] if isinstance(size, int) else list(size)
    image = [spec.batch, int(config.get("num_channels", 3)), *map(int, sides)]
    for tensor in inputs:
        shape = tensor.shape or ()
        is_ids = len(shape) == 2 and _DTYPES[tensor.dtype] == "int32"
        values = (
            [spec.batch, spec.seq_len] if is_ids else image if len(shape) == 4 else [spec.batch]
        )
        for at, (extent, value) in enumerate(zip(shape, values, strict=False)):
            found[tensor.name, at] = value
            if is_ids and isinstance(extent, str) and extent:
                found.setdefault(extent, value)
    return found


def _extent(
    file: OnnxFile, tensor: OnnxTensor, at: int, extents: Mapping[tuple[str, int] | str, int]
) -> int:
    given = (tensor.shape or ())[at]
    if isinstance(given, int):
        return given
    value = extents.get(given) if given else None
    value = extents.get((tensor.name, at)) if value is None else value
    if value is None:
        raise FrontendError(
            f"{file.path} leaves axis {at} of {tensor.name} open ({given or 'no name'}): export it "
            "with that axis fixed"
        )
    return value


def _check_open_axes(file: OnnxFile, inputs: Sequence[OnnxTensor]) -> None:
    for tensor in inputs:
        if any(isinstance(extent, int) for extent in tensor.shape or ()):
            shape = "x".join(str(extent or "?") for extent in tensor.shape or ())
            raise FrontendError(
                f"{file.path} fixes the shape of {tensor.name}, {shape}, ranges for --batch or "
                "--seq-len given: export it with both axes open (dynamic_axes), or give that shape"
            )


def _check_shapes(file: OnnxFile, specs: Sequence[TensorSpec], spec: ModelSpec) -> None:
    for found in specs:
        is_ids = len(found.shape) == 2 and found.dtype == "int32"
        wanted = (spec.batch, spec.seq_len) if is_ids else (spec.batch,)
        if found.shape[: len(wanted)] != wanted:
            flags = zip(("--batch", "--seq-len"), found.shape[: len(wanted)], strict=False)
            raise FrontendError(
                f"{file.path} takes {found.name} of {'x'.join(map(str, found.shape))} alone: give "
                f"{' '.join(f'{flag} {extent}' for flag, extent in flags)}"
            )


def _rows(graph: Graph, name: str) -> int | None:
    """Return the rows of the table that an input looks up, None where it looks up none."""
    consumers = graph.consumers()
    values, rows = [name], None
    while values:
        value = values.pop()
        for node in consumers.get(value, ()):
            op = op_of(node)
            table = _LOOK_UPS.get(op, {}).get(list(node.input).index(value))
            if table is not None and node.input[table] in graph.arrays:
                found = graph.arrays[node.input[table]].shape[0]
                rows = found if rows is None else min(rows, found)
            elif op in _PASSING and node.input[0] == value:
                values.append(node.output[0])
    return rows


def make_values(
    specs: Sequence[TensorSpec], config: Mapping[str, Any], seed: int
) -> dict[str, np.ndarray]:
    """Return seeded reference values of inputs, with padding where they have a mask."""
    known = [s for s in specs if s.name in _TEXT]
    ids = next((s for s in known if s.name == "input_ids"), None)
    values: dict[str, np.ndarray] = {}
    if ids is not None:
        words = ids.below or int(config.get("vocab_size", _SMALL))
        values |= reference_inputs(known, {**config, "vocab_size": words}, seed)
    images = [s for s in specs if s.name == _IMAGE and len(s.shape) == 4]
    values |= reference_inputs(images, {}, seed) if images else {}
    rng = np.random.default_rng(seed)
    return {s.name: values[s.name] if s.name in values else _random(s, rng) for s in specs}


def _random(spec: TensorSpec, rng: np.random.Generator) -> np.ndarray:
    if spec.dtype == "float32":
        return rng.standard_normal(spec.shape, dtype=np.float32)
    if spec.name == "position_ids":
        positions = np.minimum(np.arange(spec.shape[-1]), (spec.below or 1 << 20) - 1)
        return np.broadcast_to(positions, spec.shape).astype(np.int32)
    values = rng.integers(0, spec.below or _SMALL, spec.shape)
    if "mask" in spec.name:  # the first token of a row is always one
        values.reshape(-1, spec.shape[-1])[:, 0] = 1
    return values.astype(spec.dtype)
