"""Write a pruned model as an ONNX file: the graph that it came from, with other weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tvm_sparse.config.compile import CompileSpec
from tvm_sparse.errors import BuildError, CheckpointError, ConfigError
from tvm_sparse.importers.onnx.write import write_model
from tvm_sparse.model.model import Model, Reference
from tvm_sparse.processes.temporary import temporary_directory
from tvm_sparse.progress import Progress, silent
from tvm_sparse.sources.onnx_file import ONNX_ENDING
from tvm_sparse.sources.source import resolve_source

#: Of outputs, as builds are compared.
_ATOL = _RTOL = 1e-3


def save_pruned_onnx(
    model: Model, path: Path, threads: int | None = None, progress: Progress = silent
) -> Path:
    """Write a pruned model beside nothing: the file appears whole, and checked, or not at all.

    ONNX Runtime opens it again, and gives for the reference inputs what our dense build with the
    pruned weights gives.

    Parameters
    ----------
    model : Model
        With the pruned weights; it came from an ONNX file.
    path : Path
        The file.
    threads : int, optional
        Threads to check on; every core by default.
    progress : callable
        Receives one line a step.

    Raises
    ------
    ConfigError
        It came from something else, or `path` is the file it came from.
    CheckpointError
        That file changed since.
    CheckError
        ONNX Runtime gives something else than our build.
    BuildError
        The file cannot be written.
    """
    facts = model.facts
    check_onnx_output(facts.spec.model, path)
    source = resolve_source(facts.spec)
    if source.fingerprint != facts.weights.fingerprint:
        raise CheckpointError(f"{facts.name} changed since it was imported: prune it again")
    original = model.reference.params
    changed = {
        name: value
        for name, value in model.params.items()
        if not np.array_equal(value, original[name])
    }
    try:
        with temporary_directory(beside=path.absolute()) as folder:
            fresh = folder / path.name
            outputs = write_model(facts.spec, source, changed, fresh, progress)
            _check(model, outputs, threads, progress)
            # Weights of more than 2 GB lie in a file of their own: it has to be there first.
            for file in sorted(folder.iterdir(), key=lambda file: file == fresh):
                file.replace(path.with_name(file.name))
    except OSError as error:
        raise BuildError(f"{path} cannot be written: {error.strerror or error}") from None
    return path


def check_onnx_output(model: str, path: Path) -> None:
    """Refuse to write a model as an ONNX file that came from none, or over the one it came from.

    Raises
    ------
    ConfigError
        See above.
    """
    if not model.endswith(ONNX_ENDING):
        raise ConfigError(
            f"--onnx {path} given for {model}: only what came from an ONNX file is written as one; "
            "leave it out, -o writes a directory that exporters read"
        )
    if path.suffix != ONNX_ENDING:
        raise ConfigError(f"--onnx {path} given: the name of an ONNX file ends in .onnx")
    if path.exists() and path.samefile(Path(model).expanduser()):
        raise ConfigError(f"--onnx {path} given: that is the model to be pruned, choose another")


def _check(
    model: Model, outputs: dict[str, np.ndarray], threads: int | None, progress: Progress
) -> None:
    # Whoever only asks whether a file may be written needs no compiler.
    from tvm_sparse.compiler.compile import compile_model
    from tvm_sparse.compiler.reference_check import check_against_reference

    progress("comparing it with what ONNX Runtime gives")
    wanted = {
        name: outputs[name].astype(value.dtype) for name, value in model.reference.outputs.items()
    }
    reference = Reference(
        model.params, model.reference.inputs, wanted, framework="ONNX Runtime on the file"
    )
    build = compile_model(model.mod, model.params, CompileSpec(threads=threads))
    check_against_reference(build, reference, threads, _ATOL, _RTOL)
