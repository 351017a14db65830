"""The process that trains a pruned model: TensorFlow lives here.

Its request is {source, masked, spec, directory, state_dir, threads, key}. `directory` holds the
pruned weights and the tokens; the trained weights take their place. The result is the facts of
`Distilled`, events are lines of progress.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from tvm_sparse.processes.serve import serve
from tvm_sparse.progress import Progress
from tvm_sparse.sources.source import ModelSource
from tvm_sparse.torch_free import without_torch
from tvm_sparse.training.state import PARAMS_FILE, TOKENS_FILE


@without_torch()
def train_request(request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Train as a request of `distill` asks for, and return the facts."""
    progress("starting TensorFlow")
    from safetensors.numpy import load_file, save_file

    from tvm_sparse.importers.tensorflow.huggingface import load_model
    from tvm_sparse.importers.tensorflow.quiet_tensorflow import (
        import_tensorflow,
        import_transformers,
    )
    from tvm_sparse.training.loop import train
    from tvm_sparse.training.steps import Training, assign_params, named_variables

    tf = import_tensorflow()
    if request["threads"]:
        tf.config.threading.set_intra_op_parallelism_threads(request["threads"])
        tf.config.threading.set_inter_op_parallelism_threads(1)
    import_transformers()
    source, spec = ModelSource(**request["source"]), request["spec"]
    file = Path(request["directory"]) / PARAMS_FILE
    progress(f"building the dense and the pruned model of {source.name}")
    teacher, student = (load_model(source, spec["seed"]) for _ in range(2))
    params = load_file(file)
    assign_params(student, params)
    with np.load(file.with_name(TOKENS_FILE), allow_pickle=False) as arrays:
        tokens = {name: arrays[name] for name in arrays.files}
    training = Training(student, teacher, request["masked"], spec["learning_rate"], spec["steps"])
    progress("tracing the training step")
    facts = train(training, tokens, spec, Path(request["state_dir"]), request["key"], progress)
    variables = named_variables(student)
    save_file({name: variables[name].numpy() for name in params}, file)
    return asdict(facts)


if __name__ == "__main__":
    serve(train_request)
