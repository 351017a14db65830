"""Small TensorFlow graphs, imported, run by TVM and compared with TensorFlow itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.importers.tensorflow.converters.node import Converter
from tvm_sparse.importers.tensorflow.from_graphdef import import_graph
from tvm_sparse.importers.tensorflow.graphdef import FrozenGraph, GraphOutput
from tvm_sparse.importers.tensorflow.quiet_tensorflow import import_tensorflow
from tvm_sparse.ir.expressions import op_name
from tvm_sparse.model.facts import Axis, TensorSpec

Case = Callable[..., Any]
Arrays = dict[str, np.ndarray]


def graph_of(
    case: Case, inputs: Arrays, known: bool = False, axes: tuple[Axis, ...] = ()
) -> FrozenGraph:
    """Trace `case` on placeholders, or on constants if `known`, as TensorFlow writes it.

    The inputs are the largest where the run decides about `axes` of theirs. No optimizer of
    TensorFlow sees the graph: every op is there for the import to convert.
    `case` returns one tensor, a list of them, or a dict by output name.
    """
    tf = import_tensorflow()

    def traced(value: np.ndarray) -> list[int | None]:
        named = zip(value.shape, axes or ("",) * value.ndim, strict=True)
        return [None if axis else extent for extent, axis in named]

    with tf.Graph().as_default() as graph:
        tensors = [
            tf.constant(v, name=k)
            if known
            else tf.compat.v1.placeholder(v.dtype, shape=traced(v), name=k)
            for k, v in inputs.items()
        ]
        results = _by_name(case(*tensors))
    outputs = tuple(
        GraphOutput(
            name, tensor.name, tuple(tensor.shape) if tensor.shape.rank else (), tensor.dtype.name
        )
        for name, tensor in results.items()
    )
    signature = (
        ()
        if known
        else tuple(
            TensorSpec(name, value.shape, str(value.dtype), axes=axes)
            for name, value in inputs.items()
        )
    )
    return FrozenGraph(graph.as_graph_def(), signature, outputs)


def run_module(mod: tvm.IRModule, params: Arrays, inputs: Arrays) -> list[np.ndarray]:
    """Compile a module, run it once and return the outputs."""
    return compiled(mod, params)(inputs)


def compiled(mod: tvm.IRModule, params: Arrays) -> Callable[[Arrays], list[np.ndarray]]:
    """Compile with TVM's own default pipeline and return a function from inputs to outputs.

    LLVM does not optimise: the import is under test, and this is six times faster.
    """
    target = tvm.target.Target({"kind": "llvm", "opt-level": 0})
    executable = relax.build(mod, target=target, relax_pipeline=relax.get_default_pipeline(target))
    machine = relax.VirtualMachine(executable, tvm.cpu())

    def run(inputs: Arrays) -> list[np.ndarray]:
        values = {**inputs, **params}
        arguments = [tvm.runtime.tensor(values[param.name]) for param in mod["main"].params]
        return [output.numpy() for output in machine["main"](*arguments)]

    return run


def op_counts(mod: tvm.IRModule) -> Counter[str]:
    """Count the Relax ops of the one dataflow block, without the `relax.` before them."""
    (block,) = mod["main"].body.blocks
    calls = (b.value for b in block.bindings if isinstance(b.value, relax.Call))
    return Counter(op_name(call).removeprefix("relax.") for call in calls)


def assert_family(
    converters: dict[str, Converter],
    cases: dict[str, Case],
    inputs: Arrays,
    rtol: float = 2e-6,
    atol: float = 1e-6,
) -> None:
    """Compare every case with TensorFlow, on inputs and on constants folded at import.

    The cases together must use every op of the family.
    """
    tf = import_tensorflow()

    def together(*tensors: Any) -> dict[str, Any]:
        results: dict[str, Any] = {}
        for label, case in cases.items():
            for key, tensor in _by_name(case(*tensors)).items():
                results[f"{label} {key}"] = tensor
        return results

    wanted = {k: v.numpy() for k, v in together(*map(tf.constant, inputs.values())).items()}
    frozen = graph_of(together, inputs)
    missing = set(converters) - {node.op for node in frozen.graph_def.node}
    assert not missing, f"no case uses {sorted(missing)}"

    for known in (False, True):
        frozen = graph_of(together, inputs, known=known)
        mod, params = import_graph(frozen)
        assert not params
        results = run_module(mod, params, {} if known else inputs)
        named = zip((output.name for output in frozen.outputs), results, strict=True)
        faults = [
            f"{name}: {fault}"
            for name, got in named
            if (fault := _difference(got, wanted[name], rtol, atol))
        ]
        assert not faults, f"{'constants' if known else 'inputs'}: " + "; ".join(faults)


def _difference(got: np.ndarray, wanted: np.ndarray, rtol: float, atol: float) -> str:
    if got.shape != wanted.shape or got.dtype != wanted.dtype:
        return f"{got.dtype}{got.shape} instead of {wanted.dtype}{wanted.shape}"
    if np.allclose(got, wanted, rtol=rtol, atol=atol, equal_nan=True):
        return ""
    return f"differs by {np.nanmax(np.abs(got.astype('f8') - wanted.astype('f8'))):.3g}"


def _by_name(result: Any) -> dict[str, Any]:
    if isinstance(result, dict):
        return result
    tensors = result if isinstance(result, list | tuple) else [result]
    return {str(i): tensor for i, tensor in enumerate(tensors)}
