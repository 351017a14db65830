"""Import a model through PyTorch: exported in a process of its own, read and taken into Relax."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import tvm

from tvm_sparse.config import ModelSpec
from tvm_sparse.errors import FrontendError
from tvm_sparse.importers.importer import Imported
from tvm_sparse.importers.layer_places import find_places
from tvm_sparse.importers.raising.pipeline import raise_patterns
from tvm_sparse.importers.torch.foreign import foreign_facts, reference_run
from tvm_sparse.importers.torch.from_aten import from_aten
from tvm_sparse.importers.torch.names import canonical_name
from tvm_sparse.importers.torch.program import Program, read_program
from tvm_sparse.ir.functions import with_places
from tvm_sparse.model.facts import TensorSpec
from tvm_sparse.processes.child import call
from tvm_sparse.processes.temporary import temporary_directory
from tvm_sparse.progress import Progress
from tvm_sparse.sources.pt2_archive import Pt2Archive
from tvm_sparse.sources.source import ModelSource


def import_model(spec: ModelSpec, source: ModelSource, progress: Progress) -> Imported:
    """Import a model.

    Parameters
    ----------
    spec : ModelSpec
        Shape, seed and form of the inputs.
    source : ModelSource
        As `resolve_source` returns it: a checkpoint, seeded weights, or an archive.
    progress : callable
        Receives one line per step.

    Raises
    ------
    TvmSparseError
        As the exporting process, `read_program` and `from_aten` do.
    """
    if spec.is_open:
        raise FrontendError(
            f"{source.name} given with ranges for --batch or --seq-len: models are imported from "
            "PyTorch at one shape, --batch N --seq-len N"
        )
    if source.archive is not None:
        return _read(Pt2Archive(Path(source.archive)), spec, progress)
    with temporary_directory() as folder:
        path = folder / "model.pt2"
        request = {"spec": asdict(spec), "source": asdict(source), "path": str(path)}
        module = "tvm_sparse.importers.torch.export.worker"
        call(module, "exports the model from PyTorch", request, on_event=progress)
        return _read(Pt2Archive(path), spec, progress)


def _read(archive: Pt2Archive, spec: ModelSpec, progress: Progress) -> Imported:
    program = read_program(archive)
    progress(f"importing {len(program.nodes)} ATen operators into Relax")
    tensors = {**archive.constants(), **archive.weights()}
    facts = archive.facts() or foreign_facts(program, tensors)
    _check_shape(facts.inputs[0], spec, archive.path)
    names = {name: canonical_name(name, facts.prefix) for name in program.parameters.values()}
    function, params = from_aten(program, tensors, names, [i.name for i in facts.inputs])
    plain = tvm.IRModule({"main": function})
    arrays = archive.reference()
    if not arrays:
        progress("no outputs of PyTorch in the archive: taking those of TVM's own pipeline")
        arrays = reference_run(plain, params, facts.inputs, facts.outputs, spec)
    results = _group(arrays, "outputs")
    matrices = [name for name, value in params.items() if value.ndim > 1]
    size = program.shapes[program.inputs[0]][0]
    main = raise_patterns(plain)["main"].with_attr(
        "micro_batches", _micro_batches(facts.inputs, program)
    )
    return Imported(
        mod=tvm.IRModule({"main": with_places(main, find_places(matrices, facts.architecture))}),
        params=params,
        inputs=facts.inputs,
        outputs=tuple(
            TensorSpec(name, results[name].shape, str(results[name].dtype))
            for name in facts.outputs
        ),
        input_values=_group(arrays, "inputs"),
        output_values=results,
        layer_outputs={
            _layer_name(name, facts.prefix): value
            for name, value in _group(arrays, "layers").items()
        },
        micro_batch=size,
        config=facts.config,
        gaps=facts.gaps,
    )


def _check_shape(first: TensorSpec, spec: ModelSpec, path: Path) -> None:
    """Refuse to import a program at another shape than it was exported for."""
    is_text = len(first.shape) == 2
    wanted = (spec.batch, spec.seq_len) if is_text else (spec.batch,)
    if first.shape[: len(wanted)] != wanted:
        flags = zip(("--batch", "--seq-len"), first.shape, strict=False)
        given = " ".join(f"{flag} {n}" for flag, n in list(flags)[: len(wanted)])
        raise FrontendError(
            f"{path} is exported for inputs of {'x'.join(map(str, first.shape))}: give {given}"
        )


def _micro_batches(inputs: tuple[TensorSpec, ...], program: Program) -> int:
    """Return how many runs of the program make a batch."""
    batch = inputs[0].shape[0]
    size = program.shapes[program.inputs[0]][0]
    if batch % size:
        raise FrontendError(f"the program is for a batch of {size}, its reference for {batch}")
    return batch // size


def _layer_name(name: str, prefix: str) -> str:
    """Return a layer norm's name as the module has it, `#2` and so on kept."""
    path, mark, number = name.partition("#")
    return canonical_name(f"{path}.weight", prefix).rpartition("/")[0] + mark + number


def _group(arrays: Mapping[str, np.ndarray], group: str) -> dict[str, np.ndarray]:
    begin = f"{group}/"
    found = {n.removeprefix(begin): v for n, v in arrays.items() if n.startswith(begin)}
    # Integers are of 32 bits in the module.
    return {n: v.astype(np.int32) if v.dtype == np.int64 else v for n, v in found.items()}
