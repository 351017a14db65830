"""Import a model from an ONNX file: prepared in a process of its own, and taken into Relax."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import tvm

from tvm_sparse.config.model import ModelSpec
from tvm_sparse.errors import UnsupportedOpError
from tvm_sparse.importers.extents import Limits
from tvm_sparse.importers.importer import Imported
from tvm_sparse.importers.layer_places import find_places
from tvm_sparse.importers.onnx.from_onnx import from_onnx
from tvm_sparse.importers.onnx.operators.table import OPERATORS
from tvm_sparse.importers.onnx.program import OnnxProgram, read_program
from tvm_sparse.importers.open_outputs import open_outputs
from tvm_sparse.importers.raising.pipeline import raise_patterns
from tvm_sparse.ir.functions import NOMINAL, with_places
from tvm_sparse.model.facts import TensorSpec
from tvm_sparse.processes.child import Child
from tvm_sparse.processes.temporary import temporary_directory
from tvm_sparse.progress import Progress
from tvm_sparse.sources.source import ModelSource


def import_model(spec: ModelSpec, source: ModelSource, progress: Progress) -> Imported:
    """Import a model.

    Parameters
    ----------
    spec : ModelSpec
        Shape, seed and form of the inputs.
    source : ModelSource
        An ONNX file, as `resolve_source` returns it.
    progress : callable
        Receives one line per step.

    Raises
    ------
    TvmSparseError
        As the preparing process and `from_onnx` do.
    """
    with temporary_directory() as folder:
        program, arrays = _prepare(spec, source, folder, progress)
    progress(f"importing {len(program.nodes)} ONNX operators into Relax")
    weights = arrays.get("weights", {})
    limits = Limits(spec.batch, spec.seq_len)
    function = from_onnx(
        program, weights, arrays.get("known", {}), arrays.get("positions", {}), limits
    )
    params = {name: weights[value] for value, name in program.weights.items()}
    matrices = [name for name, value in params.items() if value.ndim > 1]
    size = spec.batch if spec.is_open else program.shapes[program.inputs[0]][0]
    main = raise_patterns(tvm.IRModule({"main": function}))["main"]
    results = _ordered(arrays["outputs"], program.outputs)
    if spec.is_open:
        main = main.with_attr(NOMINAL, list(spec.nominal))
        outputs = open_outputs(main, program.outputs, spec)
    else:
        main = main.with_attr("micro_batches", program.signature[0].shape[0] // size)
        outputs = tuple(TensorSpec(n, v.shape, str(v.dtype)) for n, v in results.items())
    runs = range(sum(group.startswith("runs/") for group in arrays) // 2)
    return Imported(
        mod=tvm.IRModule({"main": with_places(main, find_places(matrices, source.architecture))}),
        params=params,
        inputs=program.signature,
        outputs=outputs,
        input_values=_ordered(arrays["inputs"], program.inputs),
        output_values=results,
        other_runs=tuple(
            (
                _ordered(arrays[f"runs/{number}/inputs"], program.inputs),
                _ordered(arrays[f"runs/{number}/outputs"], program.outputs),
            )
            for number in runs
        ),
        layer_outputs=arrays.get("layers", {}),
        micro_batch=size,
        config=program.config,
    )


def _prepare(
    spec: ModelSpec, source: ModelSource, folder: Path, progress: Progress
) -> tuple[OnnxProgram, dict[str, dict[str, np.ndarray]]]:
    """Have a process read the file, and compute whatever depends on no input."""
    module = "tvm_sparse.importers.onnx.prepare.worker"
    with Child(module, "reads the ONNX file") as child:
        operators = child.ask({"spec": asdict(spec), "source": asdict(source)}, progress)
        unknown = [(op, node) for op, node in operators if op not in OPERATORS]
        if unknown:
            raise UnsupportedOpError(unknown, "ONNX")
        child.ask({"directory": str(folder)}, progress)
    return read_program(folder)


def _ordered(arrays: Mapping[str, np.ndarray], names: Sequence[str]) -> dict[str, np.ndarray]:
    """Return arrays in an order, with integers of 32 bits, as the module has them."""
    kept = {name: arrays[name] for name in names}
    return {n: v.astype(np.int32) if v.dtype == np.int64 else v for n, v in kept.items()}
