"""Reshapes, joins, splits, slices, padding and shape questions against TensorFlow."""

from __future__ import annotations

import numpy as np
import pytest
from tensorflow_graphs import assert_family, graph_of

from tvm_sparse.errors import FrontendError
from tvm_sparse.importers.tensorflow.converters import creation, diagonals, shape, slicing
from tvm_sparse.importers.tensorflow.from_graphdef import import_graph
from tvm_sparse.importers.tensorflow.quiet_tensorflow import import_tensorflow

pytestmark = pytest.mark.unit


@pytest.fixture
def inputs():
    return {"x": np.random.default_rng(7).normal(size=(2, 3, 4)).astype("float32")}


def test_shape_family(inputs):
    raw = import_tensorflow().raw_ops
    cases = {
        "BroadcastTo": lambda x: raw.BroadcastTo(input=x, shape=[5, 2, 3, 4]),
        "Concat": lambda x: raw.Concat(concat_dim=1, values=[x, x * 2]),
        "ConcatV2": lambda x: raw.ConcatV2(values=[x, x * 2, x * 3], axis=-1),
        "EnsureShape": lambda x: raw.EnsureShape(input=x, shape=[2, 3, 4]),
        "ExpandDims": lambda x: [raw.ExpandDims(input=x, axis=a) for a in (0, 2, -1, -2)],
        "Identity": lambda x: raw.Identity(input=x),
        "IdentityN": lambda x: raw.IdentityN(input=[x, x + 1]),
        "Pack": lambda x: [raw.Pack(values=[x, x * 2], axis=a) for a in (0, 1, -1)],
        "PreventGradient": lambda x: raw.PreventGradient(input=x),
        "Reshape": lambda x: [
            raw.Reshape(tensor=x, shape=[4, -1]),
            raw.Reshape(tensor=x, shape=raw.Pack(values=[raw.Size(input=x), 1])),
        ],
        "ReverseV2": lambda x: raw.ReverseV2(tensor=x, axis=[0, -1]),
        "Snapshot": lambda x: raw.Snapshot(input=x),
        "Split": lambda x: raw.Split(axis=-1, value=x, num_split=2),
        "Split into one": lambda x: raw.Split(axis=0, value=x, num_split=1),
        "SplitV": lambda x: raw.SplitV(value=x, size_splits=[1, -1, 2], axis=2, num_split=3),
        "Squeeze": lambda x: [
            raw.Squeeze(input=raw.Reshape(tensor=x, shape=[1, 6, 1, 4])),
            raw.Squeeze(input=raw.Reshape(tensor=x, shape=[1, 6, 1, 4]), axis=[-2]),
        ],
        "StopGradient": lambda x: import_tensorflow().stop_gradient(x),
        "Tile": lambda x: raw.Tile(input=x, multiples=[2, 1, 3]),
        "Transpose": lambda x: raw.Transpose(x=x, perm=[2, 0, 1]),
        "Unpack": lambda x: [*raw.Unpack(value=x, num=3, axis=1), *raw.Unpack(value=x, num=2)],
    }
    assert_family(shape.CONVERTERS, cases, inputs)


def test_slicing_family(inputs):
    tf = import_tensorflow()
    raw = tf.raw_ops
    cases = {
        "Slice": lambda x: raw.Slice(input=x, begin=[0, 1, 1], size=[2, -1, 2]),
        "Pad": lambda x: raw.Pad(input=x, paddings=[[0, 0], [1, 2], [3, 0]]),
        "PadV2": lambda x: raw.PadV2(
            input=x, paddings=[[1, 0], [0, 0], [0, 2]], constant_values=-2.5
        ),
        "MirrorPad reflect": lambda x: raw.MirrorPad(
            input=x, paddings=[[0, 1], [2, 1], [0, 3]], mode="REFLECT"
        ),
        "MirrorPad symmetric": lambda x: raw.MirrorPad(
            input=x, paddings=[[2, 1], [0, 0], [0, 4]], mode="SYMMETRIC"
        ),
        "plain": lambda x: x[:1, 1:, ::2],
        "negative bounds": lambda x: x[-1:, :-1, -3:-1],
        "out of bounds": lambda x: x[:, 1:99, -99:2],
        "shrink": lambda x: [x[0], x[:, -1], x[..., 2], x[1, 2, 3]],
        "new axis": lambda x: [x[tf.newaxis], x[:, tf.newaxis, 1:], x[..., tf.newaxis]],
        "ellipsis": lambda x: [x[..., 1:3], x[1:, ...], x[0, ..., tf.newaxis, 1]],
        "backwards": lambda x: [x[:, ::-1], x[:, :, ::-2], x[:, :, 2:0:-1], x[:, :, -2::-3]],
        "all": lambda x: x[:, :, :],
    }
    assert_family(slicing.CONVERTERS, cases, inputs)


def test_creation_family(inputs):
    tf = import_tensorflow()
    raw = tf.raw_ops
    cases = {
        "BroadcastArgs": lambda x: raw.BroadcastArgs(s0=[1, 3, 1], s1=raw.Shape(input=x)),
        "Fill": lambda x: [raw.Fill(dims=[2, 3], value=4), raw.Fill(dims=[3], value=x[0, 0, 0])],
        "like": lambda x: [raw.OnesLike(x=x), raw.ZerosLike(x=x)],
        "Range": lambda x: [
            tf.range(0, raw.Size(input=x), 5),
            tf.range(1.0, -1.0, -0.5),
        ],
        "shapes": lambda x: [
            raw.Shape(input=x),
            raw.Shape(input=x, out_type="int64"),
            *raw.ShapeN(input=[x, x[0]]),
            raw.Size(input=x),
            raw.Rank(input=x),
        ],
    }
    assert_family(creation.CONVERTERS, cases, inputs)


def test_diagonals_family(inputs):
    raw = import_tensorflow().raw_ops
    cases = {
        "MatrixBandPart": lambda x: [
            raw.MatrixBandPart(input=x, num_lower=lower, num_upper=upper)
            for lower, upper in ((1, 0), (-1, 0), (0, -1), (0, 2))
        ],
        "MatrixDiag": lambda x: raw.MatrixDiag(diagonal=x),
        "padded": lambda x: [
            diag(diagonal=x, k=0, num_rows=rows, num_cols=-1, padding_value=2.5)
            for diag in (raw.MatrixDiagV2, raw.MatrixDiagV3)
            for rows in (-1, 4)
        ],
        "MatrixSetDiag": lambda x: [
            raw.MatrixSetDiag(input=x, diagonal=x[..., 0]),
            raw.MatrixSetDiagV2(input=x, diagonal=x[..., 1], k=0),
            raw.MatrixSetDiagV3(input=x, diagonal=x[..., 2], k=0),
        ],
    }
    assert_family(diagonals.CONVERTERS, cases, inputs)


@pytest.mark.parametrize(
    ("case", "message"),
    [
        (lambda raw, x: raw.MatrixSetDiagV3(input=x, diagonal=x[:, :, 0], k=1), "main diagonal"),
        (lambda raw, x: raw.MatrixSetDiag(input=x[..., :2], diagonal=x[:, :2, 0]), "taller"),
        (
            lambda raw, x: raw.MatrixDiagV3(
                diagonal=x, k=0, num_rows=5, num_cols=4, padding_value=0.0
            ),
            "4 diagonal elements given",
        ),
    ],
)
def test_other_diagonals_are_refused(case, message, inputs):
    raw = import_tensorflow().raw_ops
    with pytest.raises(FrontendError, match=message):
        import_graph(graph_of(lambda x: case(raw, x), inputs))


def test_a_shape_computed_from_the_inputs_is_refused(inputs):
    raw = import_tensorflow().raw_ops
    inputs["n"] = np.asarray(3, "int32")
    frozen = graph_of(lambda x, n: raw.Range(start=0, limit=n, delta=1, name="steps"), inputs)
    with pytest.raises(FrontendError, match=r"node steps \(Range\).*must be static"):
        import_graph(frozen)
