"""Artifacts of a model with one small matrix product, and of one that tells its threads."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from tvm_sparse.compiler.export import export_artifact
from tvm_sparse.config.compile import CompileSpec
from tvm_sparse.config.model import ModelSpec
from tvm_sparse.kernel_facts import KernelFacts
from tvm_sparse.model.facts import ModelDescription, TensorSpec, WeightsFacts
from tvm_sparse.provenance import TVM, versions_of
from tvm_sparse.records.checksum import checksum
from tvm_sparse.runtime.metadata import METADATA_FILE, ArtifactMetadata, KernelCall

INPUTS = (TensorSpec("ids", (2, 4), "int32", 9), TensorSpec("x", (2, 4, 16), "float32"))
OUTPUTS = (TensorSpec("hidden", (2, 4, 8), "float32"), TensorSpec("pooled", (2, 8), "float32"))
WEIGHT = np.linspace(-1, 1, 128, dtype=np.float32).reshape(16, 8)


def tiny_inputs(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "ids": rng.integers(0, 9, (2, 4)).astype(np.int32),
        "x": rng.standard_normal((2, 4, 16)).astype(np.float32),
    }


def tiny_reference(inputs: dict[str, np.ndarray], weight: np.ndarray = WEIGHT):
    hidden = inputs["x"] @ weight + inputs["ids"][:, :, None].astype(np.float32)
    return {"hidden": hidden, "pooled": hidden.sum(axis=1)}


def compile_tiny():
    import tvm
    from tvm import relax

    op = relax.op
    builder = relax.BlockBuilder()
    ids, x = (relax.Var(s.name, relax.TensorType(s.shape, s.dtype)) for s in INPUTS)
    w = relax.Var("w", relax.TensorType(WEIGHT.shape, "float32"))
    with builder.function("main", [ids, x, w], attrs={"num_input": 2}):
        with builder.dataflow():
            product = builder.emit(op.matmul(x, w))
            tokens = builder.emit(op.reshape(op.astype(ids, "float32"), (2, 4, 1)))
            hidden = builder.emit(op.add(product, tokens))
            outputs = builder.emit_output(relax.Tuple([hidden, op.sum(hidden, axis=[1])]))
        builder.emit_func_output(outputs)
    target = tvm.target.Target({"kind": "llvm", "mcpu": "x86-64-v2"})
    pipeline = relax.get_default_pipeline(target)
    return relax.build(builder.get(), target=target, relax_pipeline=pipeline)


def tiny_metadata(build: str = "dense", **changes) -> ArtifactMetadata:
    fields = {
        "name": "tiny",
        "build": build,
        "model": ModelDescription("tiny", "TinyModel", "encoder", {}),
        "weights": WeightsFacts("random", "00", "seed 0", "a ramp"),
        "spec": {
            "model": asdict(ModelSpec("tiny", batch=2, seq_len=4)),
            "sparsity": None,
            "compile": asdict(CompileSpec()),
            "quantization": None,
        },
        "isa": "x86-64-v2",
        "required_features": ("sse4_2",),
        "threads": 2,
        "inputs": INPUTS,
        "outputs": OUTPUTS,
        "versions": versions_of(TVM),
        "calls": (
            KernelCall(0, "fused_cast_reshape"),
            KernelCall(1, "fused_matmul_add", "layer_0/dense", ("w",), KernelFacts("tvm_matmul")),
            KernelCall(2, "sum", "pooler"),
        ),
        "weights_bytes": WEIGHT.nbytes,
        "compile_s": 0.25,
        **changes,
    }
    return ArtifactMetadata(**fields)


def edit_metadata(directory: Path, **changes) -> Path:
    """Change fields of an artifact's metadata, as somebody would who keeps the checksum right."""
    path = directory / METADATA_FILE
    document = {**json.loads(path.read_text()), **changes}
    path.unlink()  # it may be a link to another artifact's
    path.write_text(json.dumps({**document, "checksum": checksum(document)}))
    return directory


def build_tiny_artifact(
    out_dir: Path, build: str = "dense", weight: np.ndarray = WEIGHT, **changes
) -> Path:
    metadata = tiny_metadata(build, **changes)
    return export_artifact(compile_tiny(), {"w": weight}, metadata, out_dir)


def build_ids_artifact(out_dir: Path) -> Path:
    """A model without inputs; its eight pieces of work return the ids of their threads."""
    import tvm
    from tvm import relax
    from tvm.script.ir_builder import tirx as T

    from tvm_sparse.kernels.vector import argument, parallel, prim_func, store

    def body():
        out = argument("out", (8,), "int32")
        with parallel(8, "ids") as index:
            store(out, T.call_extern("int32", "gettid"), [index], 1)

    builder = relax.BlockBuilder()
    kernel = builder.add_func(prim_func(body), "ids")
    with builder.function("main", [], attrs={"num_input": 0}):
        with builder.dataflow():
            call = relax.call_tir(kernel, [], relax.TensorType((8,), "int32"))
            ids = builder.emit_output(call)
        builder.emit_func_output(ids)
    target = tvm.target.Target({"kind": "llvm", "mcpu": "x86-64-v2"})
    executable = relax.build(builder.get(), target=target)
    outputs = (TensorSpec("ids", (8,), "int32"),)
    metadata = tiny_metadata(inputs=(), outputs=outputs, calls=(), weights_bytes=0)
    return export_artifact(executable, {}, metadata, out_dir)
