"""The process that trains a model of TensorFlow's; see `train_request` for what it is asked."""

from __future__ import annotations

from typing import Any

from tvm_sparse.importers.tensorflow.quiet_tensorflow import (
    import_tensorflow,
    import_transformers,
)
from tvm_sparse.processes.serve import serve
from tvm_sparse.progress import Progress
from tvm_sparse.torch_free import without_torch
from tvm_sparse.training.train_request import train_request


@without_torch()
def _train(request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    progress("starting TensorFlow")
    tf = import_tensorflow()
    if request["threads"]:
        tf.config.threading.set_intra_op_parallelism_threads(request["threads"])
        tf.config.threading.set_inter_op_parallelism_threads(1)
    import_transformers()
    from tvm_sparse.training.tensorflow.training import begin

    return train_request(request, begin, progress)


if __name__ == "__main__":
    serve(_train)
