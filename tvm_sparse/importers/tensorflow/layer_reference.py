"""What every layer norm of a TensorFlow model computes: the marks by which a fault is located.

A build that differs from TensorFlow differs somewhere first. Layer norms stand twice in every
encoder layer, under names that the imported module shares, and their values are small.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tvm_sparse.importers.tensorflow.graphdef import variable_name
from tvm_sparse.importers.tensorflow.quiet_tensorflow import import_tensorflow

#: More than this is not kept: a mismatch is then reported without its layer.
_MOST_BYTES = 64 * 1024 * 1024


@contextmanager
def recorded_layer_norms(model: Any) -> Iterator[dict[str, np.ndarray]]:
    """Record the results of a model's layer norms while it runs eagerly.

    Parameters
    ----------
    model : keras.Model
        A built TF model; it is as before when the block ends.

    Yields
    ------
    dict of str to ndarray
        By the layer's name, `#2` and so on behind it from the second call of a shared layer on.
        In the order of the calls.
    """
    tf = import_tensorflow()
    recorded: dict[str, np.ndarray] = {}
    calls: Counter[str] = Counter()
    size = 0

    def record(name: str, value: Any) -> None:
        nonlocal size
        calls[name] += 1
        # Traced calls have no value; a trace is not what is looked for.
        if not hasattr(value, "numpy"):
            return
        array = value.numpy()
        size += array.nbytes
        if size <= _MOST_BYTES:
            recorded[name if calls[name] == 1 else f"{name}#{calls[name]}"] = array

    changed = []
    for layer in model.submodules:
        if not isinstance(layer, tf.keras.layers.LayerNormalization) or not layer.scale:
            continue
        name = variable_name(model, layer.gamma).rpartition("/")[0]
        changed.append(layer)
        layer.call = _recording(layer.call, name, record)
    try:
        yield recorded
    finally:
        for layer in changed:
            del layer.call  # the class's method shows again


def _recording(call: Any, name: str, record: Any) -> Any:
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        value = call(*args, **kwargs)
        record(name, value)
        return value

    return wrapped
