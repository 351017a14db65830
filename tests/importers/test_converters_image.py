"""Convolutions, pooling, batch normalisation and resizing against TensorFlow."""

from __future__ import annotations

import numpy as np
import pytest
from tensorflow_graphs import assert_family, graph_of, run_module

from tvm_sparse.importers.tensorflow.converters import convolution, image, normalization
from tvm_sparse.importers.tensorflow.from_graphdef import import_graph
from tvm_sparse.importers.tensorflow.quiet_tensorflow import import_tensorflow

pytestmark = pytest.mark.unit


@pytest.fixture
def inputs():
    rng = np.random.default_rng(7)
    return {
        "x": rng.normal(size=(2, 7, 8, 4)).astype("float32"),
        "w": rng.normal(size=(3, 3, 4, 6)).astype("float32"),
    }


def test_convolution_family(inputs):
    raw = import_tensorflow().raw_ops

    def conv(x, w, strides=(1, 1), dilations=(1, 1), padding="SAME", **more):
        return raw.Conv2D(
            input=x,
            filter=w,
            strides=[1, *strides, 1],
            dilations=[1, *dilations, 1],
            padding=padding,
            **more,
        )

    explicit = [0, 0, 1, 2, 0, 3, 0, 0]
    cases = {
        "Conv2D": lambda x, w: [conv(x, w), conv(x, w, padding="VALID")],
        "Conv2D strides": lambda x, w: [conv(x, w, (2, 2)), conv(x, w, (3, 2), padding="VALID")],
        "Conv2D dilations": lambda x, w: conv(x, w, dilations=(2, 2)),
        "Conv2D groups": lambda x, w: conv(x, w[:, :, :2]),
        "Conv2D padding": lambda x, w: conv(x, w, padding="EXPLICIT", explicit_paddings=explicit),
        "DepthwiseConv2dNative": lambda x, w: [
            raw.DepthwiseConv2dNative(
                input=x, filter=w[..., :m], strides=[1, s, s, 1], padding=padding
            )
            for m, s, padding in ((1, 1, "SAME"), (2, 2, "SAME"), (3, 1, "VALID"))
        ],
        "pools": lambda x, w: [
            pool(x, ksize=[1, k, k, 1], strides=[1, s, s, 1], padding=padding)
            for pool in (
                lambda v, **more: raw.MaxPool(input=v, **more),
                lambda v, **more: raw.AvgPool(value=v, **more),
            )
            for k, s, padding in ((3, 2, "SAME"), (2, 2, "VALID"), (3, 1, "SAME"))
        ],
    }
    assert_family(convolution.CONVERTERS, cases, inputs, rtol=1e-5, atol=1e-5)


def test_channels_first_agrees_with_channels_last(inputs):
    # TensorFlow itself has no channels-first convolution on a CPU, so the truth is its other one.
    tf = import_tensorflow()
    raw = tf.raw_ops
    x, w = inputs.values()
    bias = np.linspace(-1, 1, 6).astype("float32")
    first = {"x": np.ascontiguousarray(x.transpose(0, 3, 1, 2)), "w": w}

    def layers_first(x, w):
        y = raw.Conv2D(input=x, filter=w, strides=[1, 1, 2, 2], padding="SAME", data_format="NCHW")
        y = raw.BiasAdd(value=y, bias=bias, data_format="NCHW")
        y = raw.FusedBatchNormV3(
            x=y, scale=bias + 2, offset=bias, mean=bias, variance=bias + 3,
            is_training=False, epsilon=1e-3, data_format="NCHW",
        ).y  # fmt: skip
        return raw.MaxPool(
            input=y, ksize=[1, 1, 2, 2], strides=[1, 1, 2, 2], padding="VALID", data_format="NCHW"
        )

    wanted = tf.nn.bias_add(tf.nn.conv2d(x, w, 2, "SAME"), bias)
    wanted = (wanted - bias) / tf.sqrt(bias + 3 + 1e-3) * (bias + 2) + bias
    wanted = tf.nn.max_pool2d(wanted, 2, 2, "VALID").numpy()
    (got,) = run_module(*import_graph(graph_of(layers_first, first)), first)
    np.testing.assert_allclose(got.transpose(0, 2, 3, 1), wanted, rtol=1e-4, atol=1e-4)


def test_normalization_family(inputs):
    raw = import_tensorflow().raw_ops
    vector = np.asarray([0.5, 1, 2, 3], "float32")

    def statistics(x, gamma=vector, beta=vector - 1, training=False):
        return {
            "x": x, "scale": gamma, "offset": beta, "epsilon": 1e-3, "is_training": training,
            "mean": np.asarray([] if training else vector, "float32"),
            "variance": np.asarray([] if training else vector, "float32"),
        }  # fmt: skip

    ones = np.ones(4, "float32")
    cases = {
        "FusedBatchNorm": lambda x, w: raw.FusedBatchNorm(**statistics(x)).y,
        "FusedBatchNormV2": lambda x, w: raw.FusedBatchNormV2(**statistics(x)).y,
        "FusedBatchNormV3": lambda x, w: raw.FusedBatchNormV3(**statistics(x)).y,
        "of the batch": lambda x, w: raw.FusedBatchNormV3(**statistics(x, training=True)).y,
        "of the batch, plain": lambda x, w: (
            raw.FusedBatchNormV3(**statistics(x, ones, ones * 0, training=True)).y
        ),
    }
    assert_family(normalization.CONVERTERS, cases, inputs, rtol=1e-5, atol=1e-5)


def test_image_family(inputs):
    raw = import_tensorflow().raw_ops
    sizes = ([14, 5], [3, 11])
    modes = ({}, {"half_pixel_centers": True}, {"align_corners": True})
    cases = {
        f"{name} {mode}": lambda x, w, n=name, m=mode: [
            getattr(raw, n)(images=x, size=size, **m) for size in sizes
        ]
        for name in ("ResizeBicubic", "ResizeBilinear", "ResizeNearestNeighbor")
        for mode in modes
    }
    assert_family(image.CONVERTERS, cases, inputs, rtol=1e-5, atol=1e-5)
