"""ONNX Runtime: what a file gives for inputs, and what values within a graph are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnx
from onnx import numpy_helper

from tvm_sparse.importers.onnx.prepare.graph import Graph
from tvm_sparse.importers.refusal import refusing
from tvm_sparse.processes.temporary import temporary_directory

#: Inputs by name.
Feeds: TypeAlias = Mapping[str, np.ndarray]
#: Errors alone; what it warns of is no fault of the user's.
_ERRORS = 3
#: A message of Protocol Buffers has less than 2 GB; here with room for the nodes.
_MOST_BYTES = 1_900_000_000
#: Smaller arrays stay in the file.
_LEAST_EXTERNAL_BYTES = 1 << 10


def run_file(path: Path, name: str, feeds: Feeds) -> dict[str, np.ndarray]:
    """Return the outputs of a file, by name, as ONNX Runtime computes it by default."""
    import onnxruntime

    with refusing(f"ONNX Runtime {onnxruntime.__version__} cannot run {name}"):
        session = _session(path, optimise=True)
        outputs = [output.name for output in session.get_outputs()]
        return dict(zip(outputs, session.run(outputs, dict(feeds)), strict=True))


def run_graph(
    graph: Graph, name: str, wanted: Sequence[str], feeds: Feeds
) -> dict[str, np.ndarray]:
    """Return values of a graph, by name, computed as the graph says and in no other way.

    Parameters
    ----------
    graph : Graph
        As it is prepared.
    name : str
        Of the model, for messages.
    wanted : sequence of str
        Values, its outputs or others.
    feeds : mapping of str to ndarray
        Inputs, of the dtypes that it takes.
    """
    wanted = list(dict.fromkeys(wanted))
    if not wanted:
        return {}
    with temporary_directory() as folder, refusing(f"ONNX Runtime cannot run {name}"):
        path = folder / "graph.onnx"
        write_graph(graph, path, wanted)
        values = _session(path, optimise=False).run(wanted, dict(feeds))
    return {key: np.asarray(value) for key, value in zip(wanted, values, strict=True)}


def write_graph(graph: Graph, path: Path, outputs: Sequence[str] | None = None) -> None:
    """Write a graph as a file, with other outputs if any are given; large arrays lie beside it."""
    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    model.graph.node.extend(graph.nodes)
    model.graph.initializer.extend(
        numpy_helper.from_array(array, name) for name, array in graph.arrays.items()
    )
    if outputs is not None:
        # What their types are is inferred.
        del model.graph.output[:]
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
    size = sum(array.nbytes for array in graph.arrays.values())
    onnx.save_model(
        model,
        str(path),
        save_as_external_data=size > _MOST_BYTES,
        location=f"{path.name}.data",
        size_threshold=_LEAST_EXTERNAL_BYTES,
    )


def _session(path: Path, optimise: bool) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS
    if not optimise:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
