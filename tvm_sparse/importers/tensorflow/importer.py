"""Import a model through TensorFlow: built, frozen to a GraphDef, taken into Relax."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from tvm_sparse.config import ModelSpec
from tvm_sparse.errors import FrontendError
from tvm_sparse.importers.full_config import full_config
from tvm_sparse.importers.importer import Imported
from tvm_sparse.importers.left_out import find_left_out
from tvm_sparse.importers.micro_batch import micro_batch_size
from tvm_sparse.importers.reference_inputs import reference_inputs
from tvm_sparse.importers.refusal import refusing
from tvm_sparse.importers.tensorflow.graphdef import (
    FrozenGraph,
    freeze,
    input_signature,
    run_reference,
)
from tvm_sparse.importers.tensorflow.huggingface import load_with_gaps
from tvm_sparse.importers.tensorflow.layer_reference import recorded_layer_norms
from tvm_sparse.importers.tensorflow.quiet_tensorflow import import_transformers
from tvm_sparse.model.facts import TensorSpec, WeightGaps
from tvm_sparse.progress import Progress
from tvm_sparse.sources.architecture import check_input
from tvm_sparse.sources.source import ModelSource

#: Batches and lengths at which an open build is compared too: one token, and what no register fits.
_ODD_SHAPES = ((1, 1), (1, 7), (3, 17), (2, 48))


def import_model(spec: ModelSpec, source: ModelSource, progress: Progress) -> Imported:
    """Import a model.

    Parameters
    ----------
    spec : ModelSpec
        Shape, seed and form of the inputs.
    source : ModelSource
        As `resolve_source` returns it.
    progress : callable
        Receives one line per step.

    Raises
    ------
    TvmSparseError
        As `load_model`, `freeze` and `from_graphdef` do.
    """
    progress("starting TensorFlow")
    import_transformers()
    progress(f"building the TensorFlow model of {source.name} ({source.kind} weights)")
    at_ranges = " for ranges of --batch and --seq-len" if spec.is_open else ""
    with refusing(f"{source.name} ({source.architecture}) cannot be imported{at_ranges}"):
        loaded = load_with_gaps(source, spec.seed)
        model, config = loaded.model, full_config(loaded.model)
        inputs = input_signature(model, config, spec.batch, spec.seq_len, spec.inputs)
        if spec.is_open:
            inputs = open_inputs(source.name, inputs)
        check_input(source.name, config, source.task, spec.batch, spec.seq_len)
        progress("running TensorFlow for the reference outputs")
        values, *others = (reference_inputs(i, config, spec.seed) for i in _runs(inputs, spec))
        with recorded_layer_norms(model) as layers:
            results = run_reference(model, values)
        gaps = WeightGaps(loaded.missing, unused=loaded.unused)
        gaps = find_left_out(gaps, results, source, type(model).__name__, "TensorFlow")

        def kept(outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {name: array for name, array in outputs.items() if name not in gaps.left_out}

        results = kept(results)
        other_runs = tuple((given, kept(run_reference(model, given))) for given in others)
        progress("freezing the graph")
        size = micro_batch_size(spec, values, results)
        together = tuple(replace(i, shape=(size, *i.shape[1:])) for i in inputs)
        frozen = freeze(model, together, gaps.left_out)
    # Copies of the weights pile up on this way: drop each holder as soon as it has served.
    del model, loaded
    progress(f"importing {len(frozen.graph_def.node)} graph nodes into Relax")
    import tvm

    from tvm_sparse.importers.tensorflow.from_graphdef import from_graphdef
    from tvm_sparse.ir.functions import NOMINAL

    mod, params = from_graphdef(frozen)
    main = mod["main"]
    if spec.is_open:
        main = main.with_attr(NOMINAL, list(spec.nominal))
    else:
        main = main.with_attr("micro_batches", inputs[0].shape[0] // size)
    return Imported(
        mod=tvm.IRModule({"main": main}, attrs=mod.attrs),
        params=params,
        inputs=inputs,
        outputs=_open_outputs(mod, frozen, spec)
        if spec.is_open
        else tuple(
            TensorSpec(o.name, tuple(results[o.name].shape), o.dtype) for o in frozen.outputs
        ),
        input_values=values,
        output_values=results,
        other_runs=other_runs,
        layer_outputs=layers,
        micro_batch=size,
        config=config,
        gaps=gaps,
    )


def open_inputs(name: str, inputs: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
    """Return the inputs of a model that takes any batch and length up to theirs.

    Raises
    ------
    FrontendError
        It takes images.
    """
    if any(i.name == "pixel_values" for i in inputs):
        raise FrontendError(
            f"{name} takes images, ranges for --batch or --seq-len given: those are for "
            "texts, give one batch, --batch N"
        )
    return tuple(replace(i, axes=("batch", "seq_len")) for i in inputs)


def _runs(inputs: tuple[TensorSpec, ...], spec: ModelSpec) -> list[tuple[TensorSpec, ...]]:
    """Return the inputs of every run that a build is compared with, the nominal one first."""
    if not spec.is_open:
        return [inputs]
    odd = [(min(batch, spec.batch), min(length, spec.seq_len)) for batch, length in _ODD_SHAPES]
    # Different ones, in order.
    return [tuple(i.at(*shape) for i in inputs) for shape in dict.fromkeys([spec.nominal, *odd])]


def _open_outputs(mod: Any, frozen: FrozenGraph, spec: ModelSpec) -> tuple[TensorSpec, ...]:
    """Return the outputs of an open model as its function says them.

    Raises
    ------
    FrontendError
        An extent is neither a number nor the batch or the length.
    """
    from tvm_sparse.ir.dims import axes_of, evaluate
    from tvm_sparse.ir.expressions import tensor_shape
    from tvm_sparse.ir.functions import results

    outputs = []
    for output, value in zip(frozen.outputs, results(mod["main"]), strict=True):
        shape = tensor_shape(value)
        try:
            axes = axes_of(shape)
        except ValueError as error:
            raise FrontendError(
                f"output {output.name} has {error}: give one batch and one length, "
                "--batch N --seq-len N, not ranges"
            ) from error
        largest = tuple(evaluate(extent, spec.batch, spec.seq_len) for extent in shape)
        outputs.append(TensorSpec(output.name, largest, output.dtype, axes=axes))
    return tuple(outputs)
