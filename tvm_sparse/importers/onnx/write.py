"""Write a model that came from an ONNX file as one again, with other weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np

from tvm_sparse.config.model import ModelSpec
from tvm_sparse.processes.child import Child
from tvm_sparse.processes.temporary import temporary_directory
from tvm_sparse.progress import Progress
from tvm_sparse.sources.source import ModelSource


def write_model(
    spec: ModelSpec,
    source: ModelSource,
    weights: Mapping[str, np.ndarray],
    path: Path,
    progress: Progress,
) -> dict[str, np.ndarray]:
    """Write a file and return what ONNX Runtime gives when it opens it.

    Parameters
    ----------
    spec, source
        As the model was imported.
    weights : mapping of str to ndarray
        Those that changed, by their names in the module.
    path : Path
        The file; with more than 2 GB its weights lie in `<name>.data` beside it. A graph of other
        floats than those of 32 bits, or of integers, becomes one of float32.
    progress : callable
        Receives one line per step.

    Returns
    -------
    dict of str to ndarray
        Outputs for the reference inputs, by name.

    Raises
    ------
    TvmSparseError
        As the import does.
    """
    with temporary_directory() as folder:
        arrays, outputs = folder / "weights.npz", folder / "outputs.npz"
        with arrays.open("wb") as file:
            np.savez(file, **weights)  # type: ignore[arg-type]
        with Child("tvm_sparse.importers.onnx.prepare.worker", "writes the ONNX file") as child:
            child.ask({"spec": asdict(spec), "source": asdict(source)}, progress)
            files = {"weights": str(arrays), "path": str(path), "outputs": str(outputs)}
            child.ask(files, progress)
        with np.load(outputs, allow_pickle=False) as found:
            return {name: found[name] for name in found.files}
