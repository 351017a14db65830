"""Import a model through TensorFlow: built, frozen to a GraphDef, taken into Relax."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tvm_sparse.config.model import ModelSpec
from tvm_sparse.importers.full_config import full_config
from tvm_sparse.importers.importer import Imported
from tvm_sparse.importers.left_out import find_left_out
from tvm_sparse.importers.micro_batch import micro_batch_size
from tvm_sparse.importers.reference_inputs import reference_inputs
from tvm_sparse.importers.reference_shapes import OPEN_AXES, check_open, reference_shapes
from tvm_sparse.importers.refusal import refusing
from tvm_sparse.importers.tensorflow.graphdef import (
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
            check_open(source.name, inputs)
            inputs = tuple(replace(i, axes=OPEN_AXES) for i in inputs)
        check_input(source.name, config, source.task, spec.batch, spec.seq_len)
        progress("running TensorFlow for the reference outputs")
        values, *others = (
            reference_inputs([i.at(*shape) if i.is_open else i for i in inputs], config, spec.seed)
            for shape in reference_shapes(spec)
        )
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

    from tvm_sparse.importers.open_outputs import open_outputs
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
        outputs=open_outputs(main, [o.name for o in frozen.outputs], spec)
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
