"""ONNX graphs on ONNX Runtime: behind the same queue and tokenizer, to be measured beside builds.

The directory has `model.onnx`, with open axes, in place of the library; `scripts/make_served.py`
makes one from the weights of a checkpoint.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tvm_sparse.dependencies import ONNX, check_dependencies
from tvm_sparse.model.facts import TensorSpec
from tvm_sparse.runtime.artifact import check_files
from tvm_sparse.runtime.crew import choose_threads
from tvm_sparse.runtime.metadata import ArtifactMetadata, load_metadata
from tvm_sparse.runtime.micro_batch import MicroBatch
from tvm_sparse.runtime.model_shapes import shapes_of
from tvm_sparse.serve.backends.backend import Backend
from tvm_sparse.text.batches import Outputs

GRAPH_FILE = "model.onnx"


class OnnxModel:
    """A graph in a session of ONNX Runtime.

    Parameters
    ----------
    directory : Path
        Where it is.
    metadata : ArtifactMetadata
        Of its directory.
    session : onnxruntime.InferenceSession
        Takes int64 inputs by the names of the metadata.
    threads : int
        Threads of a run.
    """

    def __init__(
        self, directory: Path, metadata: ArtifactMetadata, session: Any, threads: int
    ) -> None:
        self.threads = threads
        self._directory, self._lock = directory, threading.Lock()
        self._on_others: dict[int, OnnxModel] = {}
        self._session = session
        self._shapes = shapes_of(metadata, threads, check_ids=True)
        self.inputs: tuple[TensorSpec, ...] = self._shapes.inputs
        self.outputs: tuple[TensorSpec, ...] = self._shapes.outputs

    def own_threads(self) -> None:
        """Do nothing: threads belong to the session."""

    def on(self, threads: int) -> OnnxModel:
        """Return the graph in a session of so many threads, which has weights of its own."""
        if threads == self.threads:
            return self
        with self._lock:
            if threads not in self._on_others:
                self._on_others[threads] = load(self._directory, threads)
            return self._on_others[threads]

    def run(self, **inputs: Any) -> Outputs:
        """Return the outputs of sequences of one length.

        Raises
        ------
        InputError
            As a build does.
        """
        (part,) = self._shapes.rectangle(inputs, whole=True)
        found = zip(self.outputs, self._run(part), strict=True)
        return {spec.name: value[part.within(spec)] for spec, value in found}

    def run_ragged(self, sequences: Sequence[Any], **more: Sequence[Any]) -> list[Outputs]:
        """Return the outputs of each of some sequences, padded to the longest of those alike.

        Raises
        ------
        InputError
            As a build does.
        """
        results: list[Outputs] = [{} for _ in sequences]
        for part in self._shapes.ragged(sequences, more):
            for spec, value in zip(self.outputs, self._run(part), strict=True):
                for index, place in enumerate(part.places):
                    results[place][spec.name] = value[part.of_sequence(spec, index)]
        return results

    def computed_tokens(self, lengths: Sequence[int]) -> int:
        """Return the tokens of rectangles of sequences that are alike."""
        alike = sorted(lengths)
        parts = (alike[part] for part in self._shapes.split(alike))
        return sum(len(part) * part[-1] for part in parts)

    def _run(self, part: MicroBatch) -> list[Any]:
        """Return the outputs of a rectangle."""
        # A build of any shape takes a tile map behind them.
        given = zip(self.inputs, part.arguments, strict=False)
        feed = {spec.name: value.astype(np.int64) for spec, value in given}
        found: list[Any] = self._session.run([spec.name for spec in self.outputs], feed)
        return found


def load(directory: Path, threads: int) -> OnnxModel:
    """Load the graph in a directory.

    Raises
    ------
    ArtifactError
        A file is missing or damaged.
    """
    import onnxruntime

    metadata = load_metadata(directory)
    check_files(directory, metadata, GRAPH_FILE)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = choose_threads(threads), 1
    session = onnxruntime.InferenceSession(
        str(directory / GRAPH_FILE), options, providers=["CPUExecutionProvider"]
    )
    return OnnxModel(directory, metadata, session, threads)


ONNXRUNTIME = Backend(lambda _metadata: check_dependencies(ONNX), load)
