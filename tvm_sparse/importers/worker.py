"""The process that imports a model: all work with another framework happens here.

Its request is {importer, spec, source, directory}: it fills the directory, and the result is the
signature of the module with the model's config and the gaps of its checkpoint, {"inputs": [...],
"outputs": [...], "micro_batch": N, "config": {...}, "gaps": {...}}. Events are lines of progress.
"""

from __future__ import annotations

from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from tvm_sparse.config.model import ModelSpec
from tvm_sparse.importers.importer import Imported
from tvm_sparse.importers.registry import find_importer
from tvm_sparse.processes.serve import serve
from tvm_sparse.progress import Progress
from tvm_sparse.sources.source import ModelSource
from tvm_sparse.torch_free import without_torch

MODULE_FILE = "module.json"
PARAMS_FILE = "params.safetensors"
REFERENCE_FILE = "reference.npz"


# All of it: transformers imports PyTorch late and here and there, USE_TORCH=0 or not.
@without_torch()
def _import(request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    spec, source = ModelSpec(**request["spec"]), ModelSource(**request["source"])
    importer = import_module(find_importer(request["importer"]).module)
    imported: Imported = importer.import_model(spec, source, progress)
    from tvm_sparse.importers.contract import verify

    verify(imported, request["importer"])
    progress("writing the module and its weights")
    _write(Path(request["directory"]), imported)
    return {
        "inputs": [asdict(spec) for spec in imported.inputs],
        "outputs": [asdict(spec) for spec in imported.outputs],
        "micro_batch": imported.micro_batch,
        "config": dict(imported.config),
        "gaps": asdict(imported.gaps),
    }


def _write(directory: Path, imported: Imported) -> None:
    import tvm
    from safetensors.numpy import save_file

    (directory / MODULE_FILE).write_text(tvm.ir.save_json(imported.mod), encoding="utf-8")
    save_file(
        {name: np.ascontiguousarray(value) for name, value in imported.params.items()},
        directory / PARAMS_FILE,
    )
    groups = {
        "inputs": imported.input_values,
        "outputs": imported.output_values,
        "layers": imported.layer_outputs,
    }
    for number, (inputs, outputs) in enumerate(imported.other_runs):
        groups |= {f"{number}/inputs": inputs, f"{number}/outputs": outputs}
    arrays = {f"{group}/{n}": value for group, part in groups.items() for n, value in part.items()}
    np.savez(directory / REFERENCE_FILE, **arrays)  # type: ignore[arg-type]


if __name__ == "__main__":
    serve(_import)
