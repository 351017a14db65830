"""Names of weights: TensorFlow's variables, PyTorch's state dicts, as transformers has them.

The two differ in more than separators. TensorFlow's bare encoders have one level more
(`TFBertModel` holds a `bert`), kernels are stored the other way round, and what one PyTorch
parameter is under two names, TensorFlow has once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LAST_PARTS = {
    "kernel": "weight",
    "embeddings": "weight",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
    "depthwise_kernel": "depthwise.weight",
    "pointwise_kernel": "pointwise.weight",
}
#: Last parts of names of what the two store in other orders of axes.
_TURNED = ("kernel", "depthwise_kernel", "pointwise_kernel")


def torch_name(name: str, architecture: str = "") -> str:
    """Return what PyTorch calls a weight: `bert.encoder.layer.0.attention.self.query.weight`.

    Parameters
    ----------
    name : str
        TensorFlow's name without that of the model, e.g.
        `bert/encoder/layer_._0/attention/self/query/kernel`.
    architecture : str
        Class of the model without the leading TF. Names in a bare encoder (`BertModel`) begin
        below it; by default they keep its prefix, as under a head.
    """
    # `_._` is an index into a list; of `a___b`, TensorFlow has a and PyTorch b.
    parts = [part.rpartition("___")[2] for part in name.replace("_._", "/").split("/")]
    parts[-1] = _LAST_PARTS.get(parts[-1], parts[-1])
    is_bare = architecture.endswith("Model")
    if architecture.endswith("EncoderModel") and parts[0] == "encoder":
        is_bare = False  # T5's: the encoder is a module in both, beside the embeddings
    return ".".join(parts[1:] if is_bare else parts)


def torch_value(name: str, value: NDArray[Any]) -> NDArray[Any]:
    """Return the weight of TensorFlow's name in PyTorch's order of axes, contiguous.

    Kernels (K, N) become (N, K); those of convolutions, (length, in, out) or (height, width, in,
    out), become (out, in, length) or (out, in, height, width).
    """
    if name.rpartition("/")[2] in _TURNED:
        value = value.transpose(3, 2, 0, 1) if value.ndim == 4 else value.T
    return np.ascontiguousarray(value)


def tensorflow_value(name: str, value: NDArray[Any]) -> NDArray[Any]:
    """Return a weight in TensorFlow's order of axes: undoes `torch_value`.

    Parameters
    ----------
    name : str
        TensorFlow's.
    value : numpy.ndarray
        PyTorch's.
    """
    if name.rpartition("/")[2] in _TURNED:
        value = value.transpose(2, 3, 1, 0) if value.ndim == 4 else value.T
    return value


def torch_weights(params: Mapping[str, NDArray[Any]], architecture: str) -> dict[str, NDArray[Any]]:
    """Return TensorFlow's weights by PyTorch's names and in its order of axes."""
    weights = {}
    for own, own_value in params.items():
        name, value = torch_name(own, architecture), torch_value(own, own_value)
        # Of ConvBERT's separable convolutions: a filter for each feature, and a column of biases.
        if own.endswith("depthwise_kernel"):
            value = np.ascontiguousarray(value.swapaxes(0, 1))
        elif f"{own.removesuffix('bias')}depthwise_kernel" in params:
            value = value[:, np.newaxis]
        weights[name] = value
        if name.endswith("decoder.bias"):
            # One parameter under two names; ALBERT's TensorFlow class reads the other one.
            weights[f"{name.removesuffix('decoder.bias')}bias"] = value
    return weights
