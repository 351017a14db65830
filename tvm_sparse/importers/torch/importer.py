"""Import a model through PyTorch: exported in a process of its own, read and taken into Relax."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import tvm

from tvm_sparse.config.model import ModelSpec
from tvm_sparse.errors import FrontendError
from tvm_sparse.importers.extents import Limits
from tvm_sparse.importers.importer import Imported
from tvm_sparse.importers.layer_places import find_places
from tvm_sparse.importers.open_outputs import open_outputs
from tvm_sparse.importers.raising.pipeline import raise_patterns
from tvm_sparse.importers.reference_shapes import reference_shapes
from tvm_sparse.importers.torch.foreign import ReferenceRuns, foreign_facts
from tvm_sparse.importers.torch.from_aten import from_aten
from tvm_sparse.importers.torch.names import canonical_name
from tvm_sparse.importers.torch.program import Program, read_program
from tvm_sparse.ir.functions import NOMINAL, with_places
from tvm_sparse.model.facts import TensorSpec
from tvm_sparse.processes.child import call
from tvm_sparse.processes.temporary import temporary_directory
from tvm_sparse.progress import Progress
from tvm_sparse.sources.pt2_archive import Pt2Archive
from tvm_sparse.sources.source import ModelSource

#: Inputs and outputs, by name.
Run: TypeAlias = "tuple[dict[str, np.ndarray], dict[str, np.ndarray]]"


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
    if source.archive is not None:
        return _read(Pt2Archive(Path(source.archive)), spec, progress)
    with temporary_directory() as folder:
        path = folder / "model.pt2"
        request = {"spec": asdict(spec), "source": asdict(source), "path": str(path)}
        module = "tvm_sparse.importers.torch.export.worker"
        call(module, "exports the model from PyTorch", request, on_event=progress)
        return _read(Pt2Archive(path), spec, progress)


def _read(archive: Pt2Archive, spec: ModelSpec, progress: Progress) -> Imported:
    program = read_program(archive, (spec.batch, spec.seq_len), spec.is_open)
    progress(f"importing {len(program.nodes)} ATen operators into Relax")
    tensors = {**archive.constants(), **archive.weights()}
    limits = Limits(spec.batch, spec.seq_len)
    facts = archive.facts() or foreign_facts(program, tensors, limits)
    inputs = tuple(_input(i, spec) for i in facts.inputs)
    _check_shape(inputs[0], spec, archive.path)
    names = {name: canonical_name(name, facts.prefix) for name in program.parameters.values()}
    function, params = from_aten(program, tensors, names, [i.name for i in inputs], limits)
    plain = tvm.IRModule({"main": function})
    known = _runs(archive.reference(), inputs, spec)
    if not all(known):
        progress("no outputs of PyTorch in the archive: taking those of TVM's own pipeline")
    shaped = [tuple(i.at(*shape) for i in inputs) for shape in reference_shapes(spec)]
    own = ReferenceRuns(plain, params, facts.outputs, spec.seed)
    (values, results), *others = (run or own(at) for run, at in zip(known, shaped, strict=True))
    matrices = [name for name, value in params.items() if value.ndim > 1]
    main = raise_patterns(plain)["main"]
    if spec.is_open:
        size = spec.batch
        main = main.with_attr(NOMINAL, list(spec.nominal))
        outputs = open_outputs(main, facts.outputs, spec)
    else:
        size = _micro_batch(inputs, program)
        main = main.with_attr("micro_batches", inputs[0].shape[0] // size)
        outputs = tuple(TensorSpec(n, results[n].shape, str(results[n].dtype)) for n in results)
    # Of the nominal run alone.
    layers = _group(archive.reference(), "layers") if known[0] else {}
    return Imported(
        mod=tvm.IRModule({"main": with_places(main, find_places(matrices, facts.architecture))}),
        params=params,
        inputs=inputs,
        outputs=outputs,
        input_values=values,
        output_values=results,
        other_runs=tuple(others),
        layer_outputs={_layer_name(name, facts.prefix): value for name, value in layers.items()},
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


def _input(spec: TensorSpec, model: ModelSpec) -> TensorSpec:
    """Return an input at the shape that is asked for, of a program that takes any."""
    at_shape = spec.at(model.batch, model.seq_len)
    if not spec.is_open:
        return spec
    return replace(at_shape, axes=spec.axes) if model.is_open else at_shape


def _micro_batch(inputs: tuple[TensorSpec, ...], program: Program) -> int:
    """Return how many sequences or images a run of the program takes, a part of a batch."""
    (size, *_), (batch, *_) = program.shapes[program.inputs[0]], inputs[0].shape
    if not isinstance(size, int) or batch % size:
        raise FrontendError(f"the program is for a batch of {size}, its reference for {batch}")
    return size


def _runs(
    arrays: Mapping[str, np.ndarray], inputs: tuple[TensorSpec, ...], spec: ModelSpec
) -> list[Run | None]:
    """Return inputs and outputs at each shape that an import is compared at, None where unknown."""
    numbers = {n.split("/")[1] for n in arrays if n.startswith("runs/")}
    groups = ["", *(f"runs/{number}/" for number in sorted(numbers))]
    found = [
        tuple(_group(arrays, f"{at}{side}") for side in ("inputs", "outputs")) for at in groups
    ]
    by_shape = {given[inputs[0].name].shape: (given, got) for given, got in found if given}
    return [by_shape.get(inputs[0].shape_at(*shape)) for shape in reference_shapes(spec)]


def _layer_name(name: str, prefix: str) -> str:
    """Return a layer norm's name as the module has it, `#2` and so on kept."""
    path, mark, number = name.partition("#")
    return canonical_name(f"{path}.weight", prefix).rpartition("/")[0] + mark + number


def _group(arrays: Mapping[str, np.ndarray], group: str) -> dict[str, np.ndarray]:
    begin = f"{group}/"
    found = {n.removeprefix(begin): v for n, v in arrays.items() if n.startswith(begin)}
    # Integers are of 32 bits in the module.
    return {n: v.astype(np.int32) if v.dtype == np.int64 else v for n, v in found.items()}
