"""Import a model through TensorFlow: built, frozen to a GraphDef, taken into Relax."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tvm_sparse.config import ModelSpec
from tvm_sparse.importers.importer import Imported
from tvm_sparse.importers.tensorflow.graphdef import freeze, input_signature, run_reference
from tvm_sparse.importers.tensorflow.huggingface import full_config, load_model
from tvm_sparse.importers.tensorflow.layer_reference import recorded_layer_norms
from tvm_sparse.importers.tensorflow.quiet_tensorflow import import_transformers
from tvm_sparse.importers.tensorflow.reference import reference_inputs
from tvm_sparse.importers.tensorflow.refusal import refusing
from tvm_sparse.model.facts import TensorSpec
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
    with refusing(f"{source.name} ({source.architecture}) cannot be imported"):
        model = load_model(source, spec.seed, progress)
        config = full_config(model)
        inputs = input_signature(model, config, spec.batch, spec.seq_len, spec.inputs)
        check_input(source.name, config, source.task, spec.batch, spec.seq_len)
        progress("running TensorFlow for the reference outputs")
        values = reference_inputs(inputs, config, spec.seed)
        with recorded_layer_norms(model) as layers:
            results = run_reference(model, values)
        progress("freezing the graph")
        frozen = freeze(model, _micro_batch_inputs(inputs, results, spec))
    # Copies of the weights pile up on this way: drop each holder as soon as it has served.
    del model
    progress(f"importing {len(frozen.graph_def.node)} graph nodes into Relax")
    import tvm

    from tvm_sparse.importers.tensorflow.from_graphdef import from_graphdef

    mod, params = from_graphdef(frozen)
    size = frozen.inputs[0].shape[0]
    main = mod["main"].with_attr("micro_batches", inputs[0].shape[0] // size)
    return Imported(
        mod=tvm.IRModule({"main": main}, attrs=mod.attrs),
        params=params,
        inputs=inputs,
        outputs=tuple(
            TensorSpec(o.name, tuple(results[o.name].shape), o.dtype) for o in frozen.outputs
        ),
        input_values=values,
        output_values=results,
        layer_outputs=layers,
        micro_batch=size,
        config=config,
    )


def _micro_batch_inputs(
    inputs: tuple[TensorSpec, ...], results: dict[str, np.ndarray], spec: ModelSpec
) -> tuple[TensorSpec, ...]:
    """Return the inputs of as many sequences as go through the model together.

    Where something has no axis of sequences at its front, that is the whole batch.
    """
    size = spec.micro_batch or spec.batch
    fronts = {array.shape[:1] for array in results.values()}
    if any(i.name == "pixel_values" for i in inputs) or fronts != {(spec.batch,)}:
        return inputs
    return tuple(replace(i, shape=(size, *i.shape[1:])) for i in inputs)
