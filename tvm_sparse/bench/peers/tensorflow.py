"""TensorFlow as its users run it: transformers' class inside a `tf.function`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.bench.peers.checkpoint import read_config
from tvm_sparse.bench.peers.engine import Inputs, PeerModel
from tvm_sparse.importers.tensorflow.quiet_tensorflow import import_tensorflow, import_transformers


def load(checkpoint: Path, threads: int, name: str) -> PeerModel:
    """Load a checkpoint into transformers' TensorFlow class."""
    tf = import_tensorflow()
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    transformers = import_transformers()
    model_class = getattr(transformers, f"TF{read_config(checkpoint)['architectures'][0]}")
    return _Function(tf, model_class.from_pretrained(str(checkpoint)))


class _Function(PeerModel):
    def __init__(self, tf: Any, model: Any) -> None:
        self._tf = tf
        self._function = tf.function(lambda features: dict(model(features, training=False)))
        self.facts = {"graph": "tf.function, XLA off"}

    def bind(self, inputs: Inputs) -> Callable[[], Any]:
        features = {name: self._tf.constant(value) for name, value in inputs.items()}
        # Without reading a result the call might return before the work is done.
        return lambda: {name: t.numpy() for name, t in self._function(features).items()}

    def outputs(self, result: Any) -> dict[str, NDArray[Any]]:
        return {name: np.asarray(value) for name, value in result.items()}
