"""The process that imports a model: all work with TensorFlow and transformers happens here.

Its request is {spec, source, directory}: it fills the directory, and the result is the signature
of the module, {"inputs": [...], "outputs": [...], "micro_batch": N}. Events are lines of progress.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from tvm_sparse.config import ModelSpec
from tvm_sparse.dependencies import without_torch
from tvm_sparse.model.facts import TensorSpec
from tvm_sparse.processes.serve import serve
from tvm_sparse.progress import Progress
from tvm_sparse.sources.source import ModelSource

MODULE_FILE = "module.json"
PARAMS_FILE = "params.safetensors"
REFERENCE_FILE = "reference.npz"

#: Of processes that TensorFlow lives in.
ENVIRONMENT = {
    # Whatever is to be fetched is on disk already; no library shall ask the network again.
    "HF_HUB_OFFLINE": "1",
    # Set by a parent that runs models, but modules are built with the whole library.
    "TVM_USE_RUNTIME_LIB": None,
}


def import_into(
    spec: ModelSpec, source: ModelSource, directory: Path, progress: Progress
) -> dict[str, Any]:
    """Import a model and write module, weights and reference values to `directory`.

    Parameters
    ----------
    spec : ModelSpec
        Shape, seed and form of the inputs.
    source : ModelSource
        As `resolve_source` returns it.
    directory : Path
        Receives `module.json`, `params.safetensors` and `reference.npz`.
    progress : callable
        Receives one line per step.

    Returns
    -------
    dict
        `inputs` and `outputs` of the module, lists of {name, shape, dtype}, and `micro_batch`:
        how many sequences it takes at once.

    Raises
    ------
    TvmSparseError
        As `load_model`, `freeze` and `from_graphdef` do.
    """
    progress("starting TensorFlow")
    from tvm_sparse.importers.tensorflow.graphdef import freeze, input_signature, run_reference
    from tvm_sparse.importers.tensorflow.huggingface import load_model
    from tvm_sparse.importers.tensorflow.layer_reference import recorded_layer_norms
    from tvm_sparse.importers.tensorflow.quiet_tensorflow import import_transformers
    from tvm_sparse.importers.tensorflow.reference import reference_inputs

    import_transformers()
    progress(f"building the TensorFlow model of {source.name} ({source.kind} weights)")
    model = load_model(source, spec.seed, progress)
    inputs = input_signature(model, source.config, spec.batch, spec.seq_len, spec.inputs)
    progress("running TensorFlow for the reference outputs")
    values = reference_inputs(inputs, source.config, spec.seed)
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
    main = mod["main"].with_attr("micro_batches", spec.batch // size)
    mod = tvm.IRModule({"main": main}, attrs=mod.attrs)
    facts = {
        "inputs": [asdict(i) for i in inputs],
        "outputs": [
            {"name": o.name, "shape": results[o.name].shape, "dtype": o.dtype}
            for o in frozen.outputs
        ],
        "micro_batch": size,
    }
    del frozen
    progress("writing the module and its weights")
    _write(directory, mod, params, values, results, layers)
    return facts


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


# All of it: transformers imports PyTorch late and here and there, USE_TORCH=0 or not.
@without_torch()
def _import(request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    spec, source = ModelSpec(**request["spec"]), ModelSource(**request["source"])
    return import_into(spec, source, Path(request["directory"]), progress)


def _write(
    directory: Path,
    mod: Any,
    params: dict[str, np.ndarray],
    values: dict[str, np.ndarray],
    results: dict[str, np.ndarray],
    layers: dict[str, np.ndarray],
) -> None:
    import tvm
    from safetensors.numpy import save_file

    (directory / MODULE_FILE).write_text(tvm.ir.save_json(mod), encoding="utf-8")
    save_file(
        {name: np.ascontiguousarray(value) for name, value in params.items()},
        directory / PARAMS_FILE,
    )
    arrays = {f"inputs/{name}": value for name, value in values.items()}
    arrays |= {f"outputs/{name}": value for name, value in results.items()}
    arrays |= {f"layers/{name}": value for name, value in layers.items()}
    np.savez(directory / REFERENCE_FILE, **arrays)  # type: ignore[arg-type]


if __name__ == "__main__":
    serve(_import)
