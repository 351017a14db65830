"""The process that reads an ONNX file and asks ONNX Runtime; TVM is never imported here.

It is asked twice. {"spec", "source"} reads the file, and the result are the operators that lead to
an output, with the names of their nodes: [[operator, node], ...]. {"directory"} then writes the
program and its arrays there (see `importers.onnx.program`). Or {"weights", "path", "outputs"}
writes the file anew with other weights, an archive of arrays by their names in the module, and what
ONNX Runtime gives for the reference inputs. Events are lines of progress.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from onnx.helper import tensor_dtype_to_np_dtype

from tvm_sparse.config.model import ModelSpec
from tvm_sparse.errors import FrontendError
from tvm_sparse.importers.micro_batch import micro_batch_size
from tvm_sparse.importers.onnx.prepare.branches import take_branches
from tvm_sparse.importers.onnx.prepare.floats import widen
from tvm_sparse.importers.onnx.prepare.graph import attributes_of, name_of, op_of
from tvm_sparse.importers.onnx.prepare.guards import drop_guards
from tvm_sparse.importers.onnx.prepare.known import Known, find_known
from tvm_sparse.importers.onnx.prepare.layer_norms import find_layer_norms
from tvm_sparse.importers.onnx.prepare.names import PRODUCTS, name_weights
from tvm_sparse.importers.onnx.prepare.open_values import (
    OpenValues,
    find_open_values,
    sampled_shapes,
)
from tvm_sparse.importers.onnx.prepare.quantised import dequantise
from tvm_sparse.importers.onnx.prepare.read import read_graph
from tvm_sparse.importers.onnx.prepare.runtime import run_file, run_graph, write_graph
from tvm_sparse.importers.onnx.prepare.signature import (
    bind_single,
    is_batched,
    make_values,
    signature,
)
from tvm_sparse.importers.onnx.prepare.split_attention import split_attention
from tvm_sparse.importers.onnx.program import OnnxNode, OnnxProgram, write_program
from tvm_sparse.importers.reference_shapes import reference_shapes
from tvm_sparse.processes.serve import serve
from tvm_sparse.progress import Progress
from tvm_sparse.sources.onnx_file import read_onnx_file
from tvm_sparse.sources.source import ModelSource

_Values = Mapping[str, np.ndarray]


class _Preparation:
    """One file, between two requests."""

    def __call__(self, request: dict[str, Any], progress: Progress) -> Any:
        if "directory" in request:
            return self._compute(Path(request["directory"]), progress)
        if "weights" in request:
            return self._write(*(Path(request[key]) for key in ("weights", "path", "outputs")))
        self._spec = ModelSpec(**request["spec"])
        self._source = ModelSource(**request["source"])
        return self._read(progress)

    def _read(self, progress: Progress) -> list[list[str]]:
        spec, source = self._spec, self._source
        assert source.archive is not None  # the importer is for files alone
        progress(f"reading {source.name}")
        self._file = read_onnx_file(Path(source.archive))
        graph = self._graph = read_graph(self._file)
        # Signature first: quantised tables of words are looked up by integers.
        self._inputs = signature(self._file, graph, spec, source.config)
        self._is_rewritten = spec.inputs == "single"
        if self._is_rewritten:
            self._inputs = bind_single(graph, self._inputs)
        runs = [
            [i.at(*shape) if i.is_open else i for i in self._inputs]
            for shape in reference_shapes(spec)
        ]
        self._runs = [make_values(inputs, source.config, spec.seed) for inputs in runs]
        self._values = self._runs[0]
        self._is_rewritten |= widen(graph)
        self._is_quantised = dequantise(graph)
        if self._is_quantised:
            progress("dequantising the weights: activations are computed in float32")
            self._is_rewritten = True
        split_attention(graph)
        shapes = sampled_shapes((spec.batch, spec.seq_len)) if spec.is_open else ()
        sampled = [self._feeds_at(*shape) for shape in shapes]
        take_branches(graph, source.name, sampled or [self._feeds(self._values)])
        drop_guards(graph)
        graph.drop_identities()
        self._known = find_known(graph)
        return [[op_of(node), name_of(node)] for node in self._known.nodes]

    def _compute(self, directory: Path, progress: Progress) -> None:
        graph, spec, source, known = self._graph, self._spec, self._source, self._known
        values = self._values
        progress("running ONNX Runtime for the reference outputs")
        outputs = self._outputs(progress)
        _check_finite(source, outputs)
        names = name_weights(graph, known.weights, _prefix(source))
        norms = find_layer_norms(graph, names)
        layers = run_graph(graph, source.name, list(norms.values()), self._feeds(values))
        is_whole = not is_batched(self._file)
        size = spec.batch if is_whole else micro_batch_size(spec, values, outputs)
        part = {name: value[:size] for name, value in values.items()}
        if spec.is_open:
            found = find_open_values(self._values_at, (spec.batch, spec.seq_len), source.name)
            others = [(given, self._outputs_of(given)) for given in self._runs[1:]]
        else:
            found = OpenValues(run_graph(graph, source.name, known.computed, self._feeds(part)))
            others = []
        computed = found.fixed
        matrices = _matrices(known, computed)
        names |= name_weights(graph, matrices, _prefix(source)) if matrices else {}
        program = OnnxProgram(
            nodes=tuple(self._node(node) for node in known.nodes),
            inputs=tuple(spec.name for spec in self._inputs),
            outputs=tuple(graph.outputs),
            shapes={name: value.shape for name, value in part.items()},
            weights=names,
            signature=self._inputs,
            extents=found.extents,
            singles=tuple(found.singles),
            positions={name: shape for name, (_, shape) in found.positions.items()},
        )
        arrays = {name: graph.arrays[name] for name in (*known.weights, *known.constants)}
        weights = {name: value for name, value in {**arrays, **computed}.items() if name in names}
        write_program(
            directory,
            program,
            {
                "weights": weights,
                "known": {n: v for n, v in {**arrays, **computed}.items() if n not in names},
                "positions": {name: array for name, (array, _) in found.positions.items()},
                "inputs": values,
                "outputs": outputs,
                "layers": {name: layers[value] for name, value in norms.items()},
                **{f"runs/{number}/inputs": run[0] for number, run in enumerate(others)},
                **{f"runs/{number}/outputs": run[1] for number, run in enumerate(others)},
            },
        )

    def _write(self, weights: Path, path: Path, outputs: Path) -> None:
        """Write the graph with other weights, and what it gives."""
        graph, known, name = self._graph, self._known, self._source.name
        names = name_weights(graph, known.weights, _prefix(self._source))
        read = {value for node in known.nodes if op_of(node) in PRODUCTS for value in node.input}
        computed = [value for value in known.computed if value in read]
        found = run_graph(graph, name, computed, self._feeds(self._values))
        if matrices := _matrices(known, found):
            names |= name_weights(graph, matrices, _prefix(self._source))
        with np.load(weights, allow_pickle=False) as arrays:
            changed = {value: arrays[own] for value, own in names.items() if own in arrays}
        # What was computed of weights is one now.
        graph.nodes = [node for node in graph.nodes if changed.keys().isdisjoint(node.output)]
        graph.arrays |= changed
        write_graph(graph, path)
        with outputs.open("wb") as file:
            given = run_file(path, name, self._feeds(self._values))
            np.savez(file, **given)  # type: ignore[arg-type]

    def _outputs(self, progress: Progress) -> dict[str, np.ndarray]:
        """Return what the file gives; of one that is rewritten, what it gives in float32."""
        outputs = self._outputs_of(self._values)
        if self._is_quantised:
            self._compare(outputs, progress)
        return outputs

    def _outputs_of(self, values: _Values) -> dict[str, np.ndarray]:
        graph, name = self._graph, self._source.name
        if not self._is_rewritten:
            return run_file(self._file.path, name, self._feeds(values))
        return run_graph(graph, name, graph.outputs, self._feeds(values))

    def _values_at(self, batch: int, seq_len: int) -> dict[str, np.ndarray]:
        """Return what depends on shapes alone at one of them."""
        feeds = self._feeds_at(batch, seq_len)
        return run_graph(self._graph, self._source.name, self._known.computed, feeds)

    def _feeds_at(self, batch: int, seq_len: int) -> dict[str, np.ndarray]:
        """Return seeded inputs of an open model at a shape."""
        inputs = [spec.at(batch, seq_len) for spec in self._inputs]
        return self._feeds(make_values(inputs, self._source.config, self._spec.seed))

    def _compare(self, outputs: _Values, progress: Progress) -> None:
        """Say how far a quantised file is from its graph in float32."""
        own = {tensor.name: tensor.dtype for tensor in self._file.inputs}
        feeds = {key: value.astype(own[key]) for key, value in self._values.items()}
        if feeds.keys() != own.keys():
            return
        for key, value in run_file(self._file.path, self._source.name, feeds).items():
            gap = np.abs(value.astype(np.float64) - outputs[key]).max(initial=0)
            most = np.abs(outputs[key]).max(initial=0)
            progress(
                f"{key} in float32 differs from the file's by {gap:.2g}, of at most {most:.2g}"
            )

    def _feeds(self, values: _Values) -> dict[str, np.ndarray]:
        """Return inputs in the dtypes that the graph has for them."""
        types = {i.name: i.type.tensor_type.elem_type for i in self._graph.inputs}
        return {n: v.astype(tensor_dtype_to_np_dtype(types[n])) for n, v in values.items()}

    def _node(self, node: Any) -> OnnxNode:
        return OnnxNode(
            op_of(node),
            name_of(node),
            tuple(node.input),
            tuple(node.output),
            attributes_of(node),
            self._graph.version(node),
        )


def _matrices(known: Known, computed: _Values) -> list[str]:
    """Return what is computed of weights alone and multiplied with: masked or joined weights."""
    read = {name for node in known.nodes if op_of(node) in PRODUCTS for name in node.input}
    return [n for n, v in computed.items() if n in read and v.ndim == 2 and v.dtype.kind == "f"]


def _prefix(source: ModelSource) -> str:
    """Return what the names of a bare encoder's weights lack, as other importers have them."""
    return str(source.config["model_type"]) if source.architecture.endswith("Model") else ""


def _check_finite(source: ModelSource, outputs: _Values) -> None:
    for name, value in outputs.items():
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise FrontendError(
                f"ONNX Runtime gives {name} of {source.name} values that are not finite: there is "
                "nothing to compare builds with"
            )


if __name__ == "__main__":
    serve(_Preparation())
