"""Models whose batch and length the run decides: one import, TensorFlow's results at any shape."""

from __future__ import annotations

import json

import numpy as np
import pytest
from imported_modules import assert_raised
from small_models import VIT, small_config
from tensorflow_graphs import compiled, graph_of

from tvm_sparse.cache.store import Cache
from tvm_sparse.config.model import ModelSpec
from tvm_sparse.errors import FrontendError
from tvm_sparse.importers.load_model import load_model
from tvm_sparse.importers.tensorflow.from_graphdef import import_graph
from tvm_sparse.importers.tensorflow.importer import import_model
from tvm_sparse.importers.tensorflow.quiet_tensorflow import import_tensorflow
from tvm_sparse.ir.dims import BATCH, SEQ_LEN
from tvm_sparse.ir.expressions import tensor_shape
from tvm_sparse.progress import silent
from tvm_sparse.sources.source import resolve_source

AXES = ("batch", "seq_len", "")
LARGEST = (8, 24, 6)
SHAPES = [(1, 1), (1, 7), (3, 17), (8, 24)]


def shape_arithmetic(x):
    """What models compute from shapes, with the raw ops that they use."""
    tf = import_tensorflow()
    raw = tf.raw_ops
    shape = raw.Shape(input=x)
    batch, length, width = raw.Unpack(value=shape, num=3, axis=0)
    table = tf.constant(np.arange(48, dtype=np.float32).reshape(24, 2))
    positions = raw.Range(start=0, limit=length, delta=1)
    known = raw.GatherV2(params=shape, indices=[2], axis=0)
    flat = raw.Pack(values=[raw.Prod(input=shape[:2], axis=[0]), raw.Prod(input=known, axis=[0])])
    halves = raw.Pack(values=[batch, length, 2, raw.FloorDiv(x=width, y=2)])
    longer = raw.Sub(x=raw.AddV2(x=length, y=2), y=raw.Cast(x=1, DstT=tf.int32))
    merged = raw.ConcatV2(values=[shape[:1], [-1]], axis=0)
    return {
        "flat": raw.Reshape(tensor=x, shape=flat),
        "halves": raw.Reshape(tensor=x, shape=halves),
        "merged": raw.Reshape(tensor=x, shape=merged),
        "last": x[:, -1],
        "first": x[:, :1, 2:4],
        "without the last": x[..., :-1, :],
        "row of a table": raw.GatherV2(params=table, indices=positions, axis=0),
        "part of a table": table[:length],
        "slice": raw.Slice(input=x, begin=[0, 0, 1], size=[-1, length, 2]),
        "tile": raw.Tile(input=table[:3], multiples=raw.Pack(values=[length, 1])),
        "fill": raw.Fill(dims=raw.Pack(values=[batch, longer]), value=2.0),
        "broadcast": raw.BroadcastTo(input=x[:1, :1], shape=shape),
        "like": raw.OnesLike(x=x),
        "select": raw.SelectV2(condition=raw.Equal(x=length, y=shape[1]), t=x, e=x * 2),
        "expanded": raw.ExpandDims(input=raw.Cumsum(x=x, axis=1), axis=2),
    }


@pytest.mark.unit
def test_shape_arithmetic():
    largest = {"x": np.zeros(LARGEST, np.float32)}
    mod, params = import_graph(graph_of(shape_arithmetic, largest, axes=AXES))
    assert tensor_shape(mod["main"].params[0]) == (BATCH, SEQ_LEN, 6)
    run = compiled(mod, params)
    for shape in SHAPES:
        x = np.random.default_rng(sum(shape)).normal(size=(*shape, 6)).astype(np.float32)
        wanted = shape_arithmetic(import_tensorflow().constant(x))
        for (name, value), got in zip(wanted.items(), run({"x": x}), strict=True):
            np.testing.assert_allclose(got, value, atol=1e-5, err_msg=f"{name} {shape}")


@pytest.mark.unit
@pytest.mark.parametrize(
    ("case", "op"),
    [
        (lambda tf, x: x[:, :5], "StridedSlice"),
        (lambda tf, x: x[:, 1:-1], "StridedSlice"),
        (lambda tf, x: x[:, ::2], "StridedSlice"),
        (lambda tf, x: tf.raw_ops.Squeeze(input=x), "Squeeze"),
        (lambda tf, x: x * tf.cast(tf.shape(x)[1], tf.float32), "Cast"),
        (lambda tf, x: tf.cast(tf.equal(tf.shape(x)[1], 4), tf.float32) * x, "Equal"),
        (lambda tf, x: x[:, : tf.maximum(tf.shape(x)[1], 4)], "Maximum"),
        (lambda tf, x: tf.reshape(x, tf.stack([tf.shape(x)[0], -1, 4])), "Reshape"),
        (lambda tf, x: x[:, :, :1] + tf.zeros([4, 3, 1]), "AddV2"),
    ],
)
def test_an_op_that_needs_numbers_is_named(case, op):
    tf = import_tensorflow()
    largest = {"x": np.zeros(LARGEST, np.float32)}
    frozen = graph_of(lambda x: case(tf, x), largest, axes=AXES)
    with pytest.raises(FrontendError, match=rf"^node .* \({op}\): ") as caught:
        import_graph(frozen)
    assert "\n" not in str(caught.value)


@pytest.fixture
def open_spec(tmp_path):
    """Return a function from a config to the spec of an open model of it."""

    def open_spec(config):
        (tmp_path / "config.json").write_text(json.dumps(config))
        return ModelSpec(str(tmp_path), "random", batch=4, seq_len=20, is_open=True)

    return open_spec


@pytest.mark.e2e
@pytest.mark.parametrize("preset", ["mobilebert", "roberta-base"])
def test_open_model(preset, open_spec, tmp_path):
    """As a static one, but for its extents; its runs are TensorFlow's."""
    config = small_config(preset)
    model = load_model(open_spec(config), Cache(tmp_path / "cache"))
    assert_raised(model.mod, config)
    assert "micro_batches" not in model.mod["main"].attrs
    assert {tensor_shape(p) for p in model.mod["main"].params[:2]} == {(BATCH, SEQ_LEN)}
    assert {i.axes for i in model.facts.inputs} == {("batch", "seq_len")}
    assert model.spec.nominal == (1, 20)
    assert model.flops > sum(layer.flops for layer in model.layers) > 0
    run = compiled(model.mod, model.params)
    shapes = [inputs["input_ids"].shape for inputs, _ in model.reference.runs]
    assert shapes == [(1, 20), (1, 1), (1, 7), (3, 17), (2, 20)]
    for shape, (inputs, outputs) in zip(shapes, model.reference.runs, strict=True):
        specs = [spec.at(*shape).shape for spec in model.facts.outputs]
        assert specs == [output.shape for output in outputs.values()]
        for wanted, got in zip(outputs.values(), run(inputs), strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)
            assert np.abs(wanted).max() > 1e-2


@pytest.mark.e2e
def test_images_are_refused(open_spec):
    spec = open_spec(VIT)
    with pytest.raises(FrontendError, match=r"takes images, .* give one batch, --batch N$"):
        import_model(spec, resolve_source(spec), silent)
