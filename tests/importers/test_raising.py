"""What the raising rewrites recognise, what they must leave alone, and that numbers stay."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tensorflow_graphs import graph_of, op_counts, run_module
from tvm import relax

from tvm_sparse.importers.raising.pipeline import raise_patterns
from tvm_sparse.importers.tensorflow.from_graphdef import from_graphdef, import_graph
from tvm_sparse.importers.tensorflow.quiet_tensorflow import import_tensorflow
from tvm_sparse.ir.expressions import op_name

pytestmark = pytest.mark.ir

BATCH, SEQ, HEADS, DIM = 2, 5, 3, 4
WIDTH = HEADS * DIM


def raised(case, shapes: dict[str, tuple[int, ...]]):
    """Import `case`, check its numbers against TensorFlow, and return the raised module."""
    tf = import_tensorflow()
    rng = np.random.default_rng(3)
    inputs = {name: rng.normal(size=shape).astype("float32") for name, shape in shapes.items()}
    wanted = case(*map(tf.constant, inputs.values())).numpy()
    mod, params = from_graphdef(graph_of(case, inputs))
    (got,) = run_module(mod, params, inputs)
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)
    return mod


def call_of(mod, name: str) -> relax.Call:
    (block,) = mod["main"].body.blocks
    (call,) = (
        b.value
        for b in block.bindings
        if isinstance(b.value, relax.Call) and op_name(b.value) == f"relax.{name}"
    )
    return call


def gelu_cases():
    tf = import_tensorflow()
    root, tanh_root = math.sqrt(2), math.sqrt(2 / math.pi)
    return {
        "tf.nn.gelu": ("nn.gelu", lambda x: tf.nn.gelu(x)),
        "divided by sqrt 2": ("nn.gelu", lambda x: 0.5 * x * (1.0 + tf.math.erf(x / root))),
        "factors the other way": ("nn.gelu", lambda x: (tf.math.erf(x / root) + 1.0) * x * 0.5),
        "halved at the end": ("nn.gelu", lambda x: x * (1.0 + tf.math.erf(x / root)) / 2.0),
        "gate halved": ("nn.gelu", lambda x: x * (0.5 * (1.0 + tf.math.erf(x / root)))),
        "of a sum": ("nn.gelu", lambda x: tf.nn.gelu(x + x[:1])),
        "of a product": ("nn.gelu", lambda x: tf.nn.gelu(x * x[:1])),
        "tf.nn.gelu tanh": ("nn.gelu_tanh", lambda x: tf.nn.gelu(x, approximate=True)),
        "tanh of a sum": ("nn.gelu_tanh", lambda x: tf.nn.gelu(x + x[:1], approximate=True)),
        "cube as a product": (
            "nn.gelu_tanh",
            lambda x: 0.5 * x * (1.0 + tf.tanh(tanh_root * (x + 0.044715 * x * x * x))),
        ),
        "factored out": (
            "nn.gelu_tanh",
            lambda x: x * 0.5 * (1.0 + tf.tanh(x * 0.7978845608 * (1.0 + 0.044715 * tf.square(x)))),
        ),
    }


@pytest.mark.parametrize("label", gelu_cases())
def test_gelu_in_every_spelling(label):
    wanted, case = gelu_cases()[label]
    counts = op_counts(raised(case, {"x": (3, 7)}))
    assert counts[wanted] == 1
    assert not {"erf", "tanh", "power"} & set(counts)


def test_what_only_looks_like_gelu_is_left_alone():
    tf = import_tensorflow()
    for case in (
        lambda x: 0.5 * x * (1.0 + tf.math.erf(x)),
        lambda x: x * (1.0 + tf.math.erf(x / math.sqrt(2))),
        lambda x: 0.5 * x * (1.0 - tf.math.erf(x / math.sqrt(2))),
        lambda x: 0.5 * x[:1] * (1.0 + tf.math.erf(x / math.sqrt(2))),
        lambda x: 0.5 * x * (1.0 + tf.tanh(x)),
    ):
        counts = op_counts(raised(case, {"x": (3, 7)}))
        assert counts["nn.gelu"] == counts["nn.gelu_tanh"] == 0


def layer_norm_cases():
    tf = import_tensorflow()

    def moments(x, gamma, beta):
        mean, variance = tf.nn.moments(x, [-1], keepdims=True)
        return tf.nn.batch_normalization(x, mean, variance, beta, gamma, 1e-3)

    def plain(x, gamma, beta):
        mean = tf.reduce_mean(x, -1, keepdims=True)
        variance = tf.reduce_mean(tf.square(x - mean), -1, keepdims=True)
        return gamma * ((x - mean) / tf.sqrt(variance + 1e-3)) + beta

    def keras_fused(x, gamma, beta):
        rows = x.shape[0] * x.shape[1]
        flat = tf.reshape(x, [1, rows, x.shape[2], 1])
        normalized = tf.raw_ops.FusedBatchNormV3(
            x=flat, scale=tf.ones([rows]), offset=tf.zeros([rows]), mean=[], variance=[],
            epsilon=1e-3, data_format="NCHW", is_training=True,
        ).y  # fmt: skip
        return tf.reshape(normalized, x.shape) * gamma + beta

    return {"moments": moments, "plain": plain, "keras_fused": keras_fused}


@pytest.mark.parametrize("label", ["moments", "plain"])
def test_layer_norm_in_every_spelling(label):
    mod = raised(layer_norm_cases()[label], {"x": (2, 3, 8), "gamma": (8,), "beta": (8,)})
    assert op_counts(mod) == {"nn.layer_norm": 1}
    call = call_of(mod, "nn.layer_norm")
    assert call.attrs.epsilon == pytest.approx(1e-3)
    assert [arg.name for arg in call.args] == ["x", "gamma", "beta"]


def test_layer_norm_as_keras_fuses_it():
    # TensorFlow runs this channels-first batch normalisation on a CPU only when Keras calls it.
    tf = import_tensorflow()
    rng = np.random.default_rng(3)
    inputs = {
        name: rng.normal(size=shape).astype("float32")
        for name, shape in {"x": (2, 3, 8), "gamma": (8,), "beta": (8,)}.items()
    }
    case = layer_norm_cases()["keras_fused"]
    mod, _ = from_graphdef(graph_of(case, inputs))
    assert op_counts(mod) == {"nn.layer_norm": 1}
    (got,) = run_module(mod, {}, inputs)
    wanted = layer_norm_cases()["plain"](*map(tf.constant, inputs.values())).numpy()
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)


def test_normalisation_over_other_axes_is_left_alone():
    tf = import_tensorflow()

    def over_rows(x, gamma, beta):
        mean, variance = tf.nn.moments(x, [1], keepdims=True)
        return tf.nn.batch_normalization(x, mean, variance, beta, gamma, 1e-3)

    mod = raised(over_rows, {"x": (2, 8, 8), "gamma": (8,), "beta": (8,)})
    assert op_counts(mod)["nn.layer_norm"] == 0


def attention(scores_of, q, k, v, *more):
    """Write attention as transformers does, `scores_of` doing the part up to the softmax."""
    tf = import_tensorflow()
    heads = [tf.transpose(tf.reshape(x, [BATCH, -1, HEADS, DIM]), [0, 2, 1, 3]) for x in (q, k, v)]
    weights = tf.nn.softmax(scores_of(heads[0], heads[1], *more), axis=-1)
    context = tf.transpose(tf.matmul(weights, heads[2]), [0, 2, 1, 3])
    return tf.reshape(context, [BATCH, -1, WIDTH])


def score_cases():
    """Label to (shape of the bias or None, scores, scale)."""
    tf = import_tensorflow()
    root = math.sqrt(DIM)

    def product(q, k):
        return tf.matmul(q, k, transpose_b=True)

    return {
        "plain": (None, product, 1.0),
        "divided": (None, lambda q, k: product(q, k) / root, 1 / root),
        "query scaled": (None, lambda q, k: product(q * 0.3, k), 0.3),
        "key scaled": (None, lambda q, k: 2.0 * product(q, k * 0.3), 0.6),
        "negated twice": (None, lambda q, k: -product(-q, k), 1.0),
        "padding mask": ((BATCH, 1, 1, SEQ), lambda q, k, m: product(q, k) / root + m, 1 / root),
        "mask first": ((BATCH, 1, 1, SEQ), lambda q, k, m: m + product(q, k), 1.0),
        "subtracted": ((BATCH, 1, 1, SEQ), lambda q, k, m: product(q, k) - m, 1.0),
        "stable softmax": ((BATCH, 1, 1, SEQ), lambda q, k, m: product(q, k) + m + 1e-9, 1.0),
        "positions": ((SEQ, SEQ), lambda q, k, m: product(q, k) + m, 1.0),
        "per head": ((1, HEADS, SEQ, SEQ), lambda q, k, m: product(q, k) + m * 2.0 - m, 1.0),
        "explicit transpose": (
            None,
            lambda q, k: tf.matmul(q, tf.transpose(k, [0, 1, 3, 2])) * 0.5,
            0.5,
        ),
        "einsum": (None, lambda q, k: tf.einsum("bhqd,bhkd->bhqk", q, k) * 0.5, 0.5),
    }


@pytest.mark.parametrize("label", score_cases())
def test_attention_in_every_spelling(label):
    bias, scores, scale = score_cases()[label]
    shapes = dict.fromkeys("qkv", (BATCH, SEQ, WIDTH))
    if bias:
        shapes["m"] = bias
    mod = raised(lambda *xs: attention(scores, *xs), shapes)
    counts = op_counts(mod)
    assert not {"nn.softmax", "matmul", "permute_dims"} & set(counts), counts
    call = call_of(mod, "nn.attention_bias" if bias else "nn.attention")
    assert float(call.attrs.scale) == pytest.approx(scale)
    assert [tuple(map(int, arg.ty.shape)) for arg in call.args[:3]] == [
        (BATCH, SEQ, HEADS, DIM)
    ] * 3


def test_a_scale_before_the_heads_are_split_is_found():
    shapes = dict.fromkeys("qkv", (BATCH, SEQ, WIDTH))
    scores = score_cases()["plain"][1]
    mod = raised(lambda q, k, v: attention(scores, q * 0.25, k, v), shapes)
    assert op_counts(mod) == {"reshape": 4, "nn.attention": 1}
    assert float(call_of(mod, "nn.attention").attrs.scale) == 0.25


def test_a_factor_that_broadcasts_is_no_scale():
    tf = import_tensorflow()
    half = tf.constant([[[0.5]]])
    mod = raised(lambda x: half.numpy() * x * (1.0 + tf.math.erf(x / math.sqrt(2))), {"x": (3, 7)})
    assert op_counts(mod)["nn.gelu"] == 0


def test_cross_attention_has_its_own_length():
    shapes = {"q": (BATCH, 2, WIDTH), "k": (BATCH, SEQ, WIDTH), "v": (BATCH, SEQ, WIDTH)}
    mod = raised(lambda *xs: attention(score_cases()["divided"][1], *xs), shapes)
    assert op_counts(mod)["nn.attention"] == 1


def test_a_mask_of_large_numbers_that_cancel_stays_whole():
    tf = import_tensorflow()

    def scores(q, k, m):
        return tf.matmul(q, k, transpose_b=True) + (tf.sign(m) * 1e9 - 1e9)

    shapes = dict.fromkeys("qkv", (BATCH, SEQ, WIDTH)) | {"m": (BATCH, 1, 1, SEQ)}
    mod = raised(lambda *xs: attention(scores, *xs), shapes)
    assert op_counts(mod)["nn.attention_bias"] == 1


def test_softmax_over_another_axis_is_not_attention():
    tf = import_tensorflow()

    def case(q, k, v):
        return tf.matmul(tf.nn.softmax(tf.matmul(q, k, transpose_b=True), axis=1), v)

    mod = raised(case, dict.fromkeys("qkv", (BATCH, HEADS, SEQ, DIM)))
    counts = op_counts(mod)
    assert counts["nn.attention"] == 0
    assert counts["nn.softmax"] == 1


def test_keys_shared_by_all_heads_are_not_attention():
    tf = import_tensorflow()

    def case(q, k, v):
        return tf.matmul(tf.nn.softmax(tf.matmul(q, k, transpose_b=True)), v)

    shapes = {"q": (BATCH, HEADS, SEQ, DIM), "k": (SEQ, DIM), "v": (SEQ, DIM)}
    assert op_counts(raised(case, shapes))["nn.attention"] == 0


def test_tensordot_becomes_one_matmul():
    tf = import_tensorflow()

    def case(x, w, b):
        return tf.tensordot(x, w, [[2], [0]]) + b

    mod = raised(case, {"x": (2, 3, 8), "w": (8, 5), "b": (5,)})
    assert op_counts(mod) == {"matmul": 1, "add": 1}


def test_a_bias_between_product_and_reshape_moves_behind_the_matmul():
    tf = import_tensorflow()

    def case(x, w, b):
        return tf.reshape(tf.matmul(tf.reshape(x, [6, 8]), w) + b, [2, 3, 5])

    mod = raised(case, {"x": (2, 3, 8), "w": (8, 5), "b": (5,)})
    assert op_counts(mod) == {"matmul": 1, "add": 1}


def test_a_reshape_that_splits_the_outputs_stays():
    tf = import_tensorflow()
    mod = raised(lambda x, w: tf.reshape(tf.matmul(x, w), [6, 5, 2]), {"x": (6, 8), "w": (8, 10)})
    assert op_counts(mod) == {"matmul": 1, "reshape": 1}


def test_identities_and_dead_code_disappear():
    tf = import_tensorflow()

    def case(x):
        tf.exp(x)  # nobody reads it
        y = tf.transpose(tf.transpose(tf.identity(x) * 1.0 + 0.0, [2, 0, 1]), [1, 2, 0])
        y = tf.reshape(tf.reshape(y, [6, 4]), [2, 3, 4]) / 1.0
        return tf.nn.relu(tf.cast(y, tf.float32))

    assert op_counts(raised(case, {"x": (2, 3, 4)})) == {"nn.relu": 1}


def test_an_identity_that_broadcasts_stays():
    tf = import_tensorflow()
    mod = raised(lambda x: x + tf.zeros([1]), {"x": (1, 1)})
    assert op_counts(mod) == {}
    mod = raised(lambda x: x * tf.ones([3, 1]), {"x": (1, 4)})
    assert op_counts(mod) == {"multiply": 1}


def test_the_given_module_stays_as_it_is():
    tf = import_tensorflow()
    mod, _ = import_graph(graph_of(tf.nn.gelu, {"x": np.ones((2, 3), "float32")}))
    before = mod.script()
    assert op_counts(raise_patterns(mod)) == {"nn.gelu": 1}
    assert mod.script() == before
