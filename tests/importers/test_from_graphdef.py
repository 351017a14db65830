"""The import as a whole: the module's form, weights, names and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tvm
from tensorflow_graphs import graph_of, op_counts, run_module

from tvm_sparse.errors import FrontendError, UnsupportedOpError
from tvm_sparse.importers.tensorflow.from_graphdef import from_graphdef, import_graph
from tvm_sparse.importers.tensorflow.quiet_tensorflow import import_tensorflow

pytestmark = pytest.mark.unit

X = {"x": np.arange(6, dtype="float32").reshape(2, 3)}


def two_dense_layers(x):
    tf = import_tensorflow()
    w = tf.constant(np.linspace(-1, 1, 9).reshape(3, 3), "float32", name="w")
    b = tf.constant([1.0, 2, 3], name="b")
    return {"first": tf.matmul(x, w) + b, "second": tf.matmul(tf.nn.relu(x), w)}


@pytest.fixture
def frozen():
    graph = graph_of(two_dense_layers, X)
    return replace(graph, weight_names={"w": "net/layer_._0/kernel", "b": "net/layer_._0/bias"})


def test_the_form_of_the_module(frozen):
    mod, params = from_graphdef(frozen)
    (function,) = mod.functions.values()
    assert int(function.attrs["num_input"]) == 1
    names = [param.name for param in function.params]
    # A weight that two layers use is one parameter.
    assert names == ["x", *params] == ["x", "net/layer_._0/kernel", "net/layer_._0/bias"]
    assert len(function.body.blocks) == 1
    assert isinstance(function.ret_ty, tvm.ir.TupleType)
    first, second = run_module(mod, params, X)
    kernel = params["net/layer_._0/kernel"]
    np.testing.assert_allclose(first, X["x"] @ kernel + [1, 2, 3], rtol=1e-6)
    np.testing.assert_allclose(second, X["x"] @ kernel, rtol=1e-6)


def test_one_output_is_a_tuple_too(frozen):
    mod, params = from_graphdef(replace(frozen, outputs=frozen.outputs[1:]))
    assert isinstance(mod["main"].ret_ty, tvm.ir.TupleType)
    # What only the other output needed is gone, its weight included.
    assert list(params) == ["net/layer_._0/kernel"]


def test_two_nodes_of_one_variable_are_one_parameter():
    tf = import_tensorflow()

    def case(x):
        a, b = (tf.constant(np.eye(3, dtype="float32"), name=name) for name in ("a", "b"))
        return tf.matmul(tf.matmul(x, a), b)

    graph = replace(graph_of(case, X), weight_names={"a": "kernel", "b": "kernel"})
    mod, params = from_graphdef(graph)
    assert [param.name for param in mod["main"].params] == ["x", "kernel"]
    np.testing.assert_array_equal(run_module(mod, params, X)[0], X["x"])


def test_the_module_survives_json(frozen):
    mod, _ = from_graphdef(frozen)
    loaded = tvm.ir.load_json(tvm.ir.save_json(mod))
    tvm.ir.assert_structural_equal(loaded, mod)
    assert [p.name for p in loaded["main"].params] == [p.name for p in mod["main"].params]


def test_an_input_that_nobody_reads_stays_in_the_signature():
    graph = graph_of(lambda x, unused: x * 2.0, {**X, "unused": np.ones(2, "int32")})
    mod, _ = from_graphdef(graph)
    assert [param.name for param in mod["main"].params] == ["x", "unused"]


def test_an_output_may_be_an_input_or_a_constant():
    tf = import_tensorflow()
    mod, _ = from_graphdef(graph_of(lambda x: [x, tf.shape(x)], X))
    same, shape = run_module(mod, {}, X)
    np.testing.assert_array_equal(same, X["x"])
    np.testing.assert_array_equal(shape, [2, 3])
    assert op_counts(mod) == {}


def test_all_unsupported_ops_are_listed_with_their_nodes():
    tf = import_tensorflow()

    def case(x):
        raw = tf.raw_ops
        dead = raw.Lgamma(x=x, name="dead")
        del dead
        y = raw.Digamma(x=raw.Digamma(x=x, name="one"), name="two")
        return raw.Betainc(a=y, b=y, x=x, name="three")

    with pytest.raises(UnsupportedOpError) as caught:
        from_graphdef(graph_of(case, X))
    assert caught.value.unsupported == [
        ("Betainc", "three"),
        ("Digamma", "one"),
        ("Digamma", "two"),
    ]


def test_function_calls_are_inlined():
    tf = import_tensorflow()

    @tf.function
    def inner(x, y):
        return tf.split(x * y, [1, 2], axis=1)

    @tf.function
    def outer(x):
        head, tail = inner(x, x + 1.0)
        return tail, head

    frozen = graph_of(outer, X)
    assert "Mul" not in {node.op for node in frozen.graph_def.node}
    tail, head = run_module(*from_graphdef(frozen), X)
    np.testing.assert_allclose(np.concatenate([head, tail], 1), X["x"] * (X["x"] + 1))


def test_control_flow_is_unsupported():
    tf = import_tensorflow()

    def case(x):
        return tf.compat.v1.while_loop(
            lambda i, y: i < 3, lambda i, y: (i + 1, y * 2.0), [tf.constant(0), x]
        )[1]

    with pytest.raises(UnsupportedOpError, match=r"While|Enter"):
        from_graphdef(graph_of(case, X))


def test_what_relax_refuses_names_the_node():
    graph = graph_of(lambda x: import_tensorflow().raw_ops.Tanh(x=x, name="squash"), X)
    integers = replace(graph, inputs=(replace(graph.inputs[0], dtype="int32"),))
    with pytest.raises(FrontendError, match=r"node squash \(Tanh\)"):
        import_graph(integers)


def test_a_placeholder_that_is_no_input_is_refused(frozen):
    with pytest.raises(FrontendError, match=r"node x.*not among the inputs"):
        from_graphdef(replace(frozen, inputs=()))
