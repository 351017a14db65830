"""What is done to ONNX graphs before they are imported, and what their operators become."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import tvm
from onnx_graphs import GraphMaker, needs_onnx
from tvm import relax

from tvm_sparse.config.model import ModelSpec
from tvm_sparse.errors import FrontendError
from tvm_sparse.formats.quantized import VNNI, quantize_rows
from tvm_sparse.importers.contract import verify
from tvm_sparse.importers.importer import Imported
from tvm_sparse.importers.onnx.importer import import_model
from tvm_sparse.importers.onnx.operators.table import FAMILIES, OPERATORS
from tvm_sparse.importers.onnx.supported_ops import render_supported_ops
from tvm_sparse.ir.expressions import op_name
from tvm_sparse.ir.functions import bindings
from tvm_sparse.progress import silent
from tvm_sparse.quantization.weights import comes_rounded
from tvm_sparse.sources.source import resolve_source

pytestmark = [pytest.mark.ir, needs_onnx]

RNG = np.random.default_rng(0)
MICROSOFT = {"domain": "com.microsoft"}


def normal(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def load(maker: GraphMaker, path: Path, said: list[str] | None = None, **fields) -> Imported:
    spec = ModelSpec(str(maker.save(path / "model.onnx", **fields)), batch=2, seq_len=6)
    imported = import_model(spec, resolve_source(spec), (said if said is not None else []).append)
    verify(imported, "onnx")
    return imported


def check(imported: Imported, atol: float = 1e-5) -> None:
    """Compare a module, built by TVM's own pipeline, with ONNX Runtime."""
    target = tvm.target.Target("llvm")
    built = relax.build(imported.mod, target, relax_pipeline=relax.get_default_pipeline(target))
    names = [var.name for var in imported.mod["main"].params[len(imported.inputs) :]]
    arrays = [*imported.input_values.values(), *(imported.params[name] for name in names)]
    machine = relax.VirtualMachine(built, tvm.cpu())
    results = machine["main"](*(tvm.runtime.tensor(np.ascontiguousarray(a)) for a in arrays))
    for (name, wanted), result in zip(imported.output_values.items(), results, strict=True):
        np.testing.assert_allclose(result.numpy(), wanted, atol, atol, err_msg=name)


def test_the_page_of_operators_is_up_to_date():
    page = Path(__file__).parents[2] / "docs" / "supported-onnx-ops.md"
    assert page.read_text(encoding="utf-8") == render_supported_ops(), (
        "write it anew: python -m tvm_sparse.importers.onnx.supported_ops "
        "> docs/supported-onnx-ops.md"
    )
    assert sum(len(family) for family in FAMILIES.values()) == len(OPERATORS)


def test_operators_give_what_onnx_runtime_gives(tmp_path):
    maker = GraphMaker()
    x = maker.input("x", "float32", (2, 6, 8))
    ids = maker.input("input_ids", "int64", (2, 6))
    ints = maker.constant
    positive = maker.add("Add", maker.add("Abs", x), ints(0.5, "float32"))
    for op in ("Ceil", "Cos", "Erf", "Exp", "Floor", "Neg", "Round", "Sigmoid", "Sign", "Sin"):
        maker.output(op, maker.add(op, x))
    for op in ("Tanh", "Relu", "HardSwish", "Softplus", "Softmax", "LogSoftmax", "HardSigmoid"):
        maker.output(op, maker.add(op, x))
    for op in ("Log", "Sqrt", "Reciprocal"):
        maker.output(op, maker.add(op, positive))
    maker.output("LeakyRelu", maker.add("LeakyRelu", x, alpha=0.3))
    maker.output("Pow", maker.add("Pow", positive, ints(1.5, "float32")))
    maker.output("Cube", maker.add("Pow", x, ints(3.0, "float32")))
    maker.output("Clip", maker.add("Clip", x, ints(-0.5, "float32"), ints(0.25, "float32")))
    maker.output("Max", maker.add("Max", x, positive, ints(0.75, "float32")))
    maker.output("Mean", maker.add("Mean", x, positive))
    maker.output("Quotient", maker.add("Div", ids, ints(3)))
    maker.output("Remainder", maker.add("Mod", ids, ints(2)))
    is_large = maker.add("Greater", x, ints(0.1, "float32"))
    is_odd = maker.add("Unsqueeze", maker.add("Cast", ids, to=9), ints([2]))
    maker.output("Where", maker.add("Where", maker.add("And", is_large, is_odd), x, positive))
    either = maker.add("Xor", maker.add("Not", is_large), maker.add("Or", is_odd, is_large))
    maker.output("Logic", maker.add("Cast", either, to=6))
    for op in ("ReduceMean", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceSumSquare"):
        maker.output(op, maker.add(op, x, axes=[-1], keepdims=0))
    maker.output("ReduceSum", maker.add("ReduceSum", x, ints([1, 2])))
    maker.output("CumSum", maker.add("CumSum", x, ints(1), exclusive=1))
    maker.output("ArgMax", maker.add("ArgMax", x, axis=2, keepdims=0))
    maker.output(
        "Slice",
        maker.add("Slice", x, ints([-3, 7]), ints([99, 0]), ints([1, 2]), ints([1, -1])),
    )
    left, right = maker.add("Split", x, ints([2, 4]), outputs=2, axis=1)
    maker.output("Concat", maker.add("Concat", right, left, axis=1))
    pads = ints([0, 1, 0, 0, 0, 2])
    maker.output("Pad", maker.add("Pad", x, pads, ints(0.5, "float32")))
    maker.output("Trilu", maker.add("Trilu", x, ints(1), upper=0))
    maker.output("Tile", maker.add("Tile", x, ints([1, 2, 1])))
    maker.output(
        "Expand", maker.add("Expand", maker.add("Unsqueeze", x, ints([1])), ints([2, 3, 6, 8]))
    )
    maker.output("Flatten", maker.add("Flatten", x, axis=2))
    maker.output("Squeeze", maker.add("Squeeze", maker.add("Unsqueeze", x, ints([0, 4]))))
    maker.output("Last", maker.add("Gather", x, ints(-1), axis=1))
    wrapped = maker.add("Sub", ids, ints(1))  # -1 is the last
    maker.output("Wrapped", maker.add("Gather", maker.add("Transpose", x, perm=[1, 0, 2]), wrapped))
    maker.output(
        "Elements", maker.add("GatherElements", x, ints(RNG.integers(-8, 8, (2, 6, 3))), axis=2)
    )
    maker.output("Nd", maker.add("GatherND", x, ints([[0, 5], [1, -2]])))
    maker.output("OpenNd", maker.add("GatherND", x, maker.add("Unsqueeze", ids, ints([2]))))
    maker.output("Einsum", maker.add("Einsum", x, x, equation="bsh,bth->bst"))
    imported = load(maker, tmp_path)
    assert [i.dtype for i in imported.inputs] == ["float32", "int32"]
    check(imported)


def test_layers_and_images(tmp_path):
    maker = GraphMaker()
    image = maker.input("pixel_values", "float32", ("batch", 3, 12, 12))
    w = maker.weight
    x = maker.add(
        "Conv",
        image,
        w("conv.weight", normal(8, 3, 3, 3)),
        w("conv.bias", normal(8)),
        strides=[2, 2],
        pads=[1, 1, 1, 1],
    )
    norm = [
        w(f"bn.{n}", v)
        for n, v in (
            ("weight", normal(8)),
            ("bias", normal(8)),
            ("running_mean", normal(8)),
            ("running_var", np.abs(normal(8)) + 1),
        )
    ]
    x = maker.add("BatchNormalization", x, *norm)
    maker.output(
        "pooled", maker.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    )
    maker.output(
        "averaged", maker.add("AveragePool", x, kernel_shape=[2, 2], auto_pad="SAME_UPPER")
    )
    scale = [w("gn.weight", normal(8)), w("gn.bias", normal(8))]
    maker.output("instances", maker.add("InstanceNormalization", x, *scale))
    flat = maker.add("Flatten", maker.add("GlobalAveragePool", x))
    gemm = [w("head.weight", normal(5, 8)), w("head.bias", normal(5))]
    maker.output("logits", maker.add("Gemm", flat, *gemm, transB=1, alpha=0.5, beta=2.0))
    check(load(maker, tmp_path), 1e-4)


def test_fused_operators_of_onnx_runtime(tmp_path):
    maker = GraphMaker()
    ids, types, mask = (
        maker.input(name, "int32", ("batch", "sequence"))
        for name in ("input_ids", "token_type_ids", "attention_mask")
    )
    w = maker.weight
    tables = [
        w(f"{n}.weight", normal(rows, 8))
        for n, rows in (("words", 20), ("positions", 10), ("types", 2))
    ]
    gain = [w("norm.weight", normal(8)), w("norm.bias", normal(8))]
    x, lengths, _ = maker.add(
        "EmbedLayerNormalization",
        ids,
        types,
        *tables,
        *gain,
        mask,
        outputs=3,
        epsilon=1e-6,
        **MICROSOFT,
    )
    fused = [w("Attention_0_weight", normal(8, 24)), w("Attention_0_bias", normal(24))]
    mixed = maker.add("Attention", x, *fused, mask, num_heads=2, **MICROSOFT)
    maker.output("by_lengths", maker.add("Attention", x, *fused, lengths, num_heads=2, **MICROSOFT))
    out = maker.add("MatMul", mixed, w("nameless", normal(8, 8)))
    bias = w("encoder.layer.0.attention.output.dense.bias", normal(8))
    x = maker.add("SkipLayerNormalization", out, x, *gain, bias, epsilon=1e-6, **MICROSOFT)
    inner = maker.add("MatMul", x, w("another", normal(8, 16)))
    inner = maker.add(
        "BiasGelu", inner, w("encoder.layer.0.intermediate.dense.bias", normal(16)), **MICROSOFT
    )
    maker.output("fast", maker.add("FastGelu", inner, **MICROSOFT))
    maker.output("quick", maker.add("QuickGelu", inner, alpha=1.702, **MICROSOFT))
    maker.output("turned", maker.add("FusedMatMul", x, x, transB=1, alpha=0.5, **MICROSOFT))
    rms = maker.add("SimplifiedLayerNormalization", x, gain[0], axis=-1, epsilon=1e-6)
    maker.output("rms", rms)
    imported = load(maker, tmp_path)
    check(imported, 1e-4)
    attention = "model/encoder/layer_._0/attention"
    assert imported.params[f"{attention}/self/query/weight"].shape == (8, 8)
    np.testing.assert_array_equal(
        imported.params[f"{attention}/self/value/weight"], maker.weights[fused[0]][:, 16:]
    )
    assert f"{attention}/output/dense/weight" in imported.params


def quantised_graph(kind: str) -> tuple[GraphMaker, np.ndarray]:
    """A product with a weight of eight bits, of which three quarters are zero; and the weight."""
    maker = GraphMaker()
    x = maker.input("x", "float32", (2, 6, 8))
    values = RNG.integers(-127, 128, (8, 4)).astype(np.int8) * (RNG.random((8, 4)) < 0.25)
    scale, zero = np.asarray([0.1, 0.2, 0.3, 0.4], np.float32), np.zeros(4, np.int8)
    weight = maker.weight("layer.0.dense.weight_quantized", values.astype(np.int8))
    scales, zeros = maker.weight("scales", scale), maker.weight("zeros", zero)
    one, point = maker.constant(0.05, "float32"), maker.constant(0, "int8")
    if kind == "QDQ":
        x = maker.add("DequantizeLinear", maker.add("QuantizeLinear", x, one, point), one, point)
        y = maker.add("MatMul", x, maker.add("DequantizeLinear", weight, scales, zeros, axis=1))
    elif kind == "QLinear":
        x = maker.add("QuantizeLinear", x, one, point)
        large = maker.constant(0.5, "float32")
        y = maker.add("QLinearMatMul", x, one, point, weight, scales, zeros, large, point)
        y = maker.add("DequantizeLinear", y, large, point)
    elif kind == "dynamic":
        x, own, shift = maker.add("DynamicQuantizeLinear", x, outputs=3)
        y = maker.add("Cast", maker.add("MatMulInteger", x, weight, shift, zeros), to=1)
        y = maker.add("Mul", y, maker.add("Mul", own, scales))
    else:
        y = maker.add("DynamicQuantizeMatMul", x, weight, scales, zeros, **MICROSOFT)
    maker.output("y", y)
    return maker, values * scale


@pytest.mark.parametrize("kind", ["QDQ", "QLinear", "dynamic", "fused"])
def test_quantised_weights_keep_their_values_and_their_zeros(tmp_path, kind):
    maker, weight = quantised_graph(kind)
    said: list[str] = []
    imported = load(maker, tmp_path, said)
    ((name, found),) = ((n, v) for n, v in imported.params.items() if v.ndim == 2)
    assert name == "layer_._0/dense/weight"
    np.testing.assert_allclose(found, weight, rtol=1e-6)
    assert (found == 0).mean() > 0.5
    check(imported)
    assert "dequantising the weights: activations are computed in float32" in said
    (line,) = (line for line in said if "differs from the file's by" in line)
    gap, most = map(float, re.findall(r"\d[\d.]*(?:e[+-]\d+)?", line.partition("by")[2]))
    # What quantising the activations costs, and no more than that.
    assert 0 < gap < 0.2 * most


@pytest.mark.parametrize("kind", ["QDQ", "dynamic"])
def test_builds_of_8_bits_keep_the_integers_of_a_file(tmp_path, kind):
    maker = GraphMaker()
    x = maker.input("x", "float32", (2, 6, 32))
    integers = RNG.integers(20, 221, (32, 4))
    weight = maker.weight("layer.0.dense.weight_quantized", integers.astype(np.uint8))
    scale, zero = maker.constant(0.01, "float32"), maker.constant(120, "uint8")
    if kind == "QDQ":
        y = maker.add("MatMul", x, maker.add("DequantizeLinear", weight, scale, zero))
    else:
        x, own, shift = maker.add("DynamicQuantizeLinear", x, outputs=3)
        y = maker.add("Cast", maker.add("MatMulInteger", x, weight, shift, zero), to=1)
        y = maker.add("Mul", y, maker.add("Mul", own, scale))
    maker.output("y", y)
    imported = load(maker, tmp_path)
    (found,) = (value.T for value in imported.params.values() if value.ndim == 2)
    assert comes_rounded(found)
    values, _ = quantize_rows(np.ascontiguousarray(found).reshape(4, -1, 4), VNNI)
    np.testing.assert_array_equal(values.reshape(4, 32), integers.T - 120)


def test_halves_become_floats(tmp_path):
    maker = GraphMaker()
    x = maker.input("x", "float16", (2, 8))
    weight = maker.weight("dense.weight", normal(8, 4).astype(np.float16))
    maker.output("y", maker.add("Cast", maker.add("MatMul", x, weight), to=10))
    imported = load(maker, tmp_path)
    assert (imported.inputs[0].dtype, imported.outputs[0].dtype) == ("float32", "float32")
    check(imported)


def test_sparse_tensors_become_dense(tmp_path):
    import onnx
    from onnx import helper, numpy_helper

    maker = GraphMaker()
    maker.output("y", maker.add("MatMul", maker.input("x", "float32", (2, 4)), "dense.weight"))
    model = maker.model()
    values = numpy_helper.from_array(np.asarray([1.5, -2.0], np.float32), "dense.weight")
    places = numpy_helper.from_array(np.asarray([1, 10], np.int64), "places")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [4, 4]))
    onnx.save(model, tmp_path / "model.onnx")
    spec = ModelSpec(str(tmp_path / "model.onnx"), batch=2)
    imported = import_model(spec, resolve_source(spec), silent)
    wanted = np.zeros((4, 4), np.float32)
    wanted[0, 1], wanted[2, 2] = 1.5, -2.0
    np.testing.assert_array_equal(imported.params["dense/weight"], wanted)
    check(imported)


def test_a_branch_on_what_is_known_is_taken(tmp_path):
    from onnx import TensorProto, helper

    maker = GraphMaker()
    x = maker.input("x", "float32", (2, 6))
    branches = {
        name: helper.make_graph(
            [helper.make_node(op, [x], [f"{name}_out"], name=f"/{name}/{op}")],
            name,
            [],
            [helper.make_tensor_value_info(f"{name}_out", TensorProto.FLOAT, None)],
        )
        for name, op in (("then_branch", "Relu"), ("else_branch", "Neg"))
    }
    size = maker.add("Gather", maker.add("Shape", x), maker.constant(1))
    known = maker.add("Equal", size, maker.constant(6))
    maker.output("known", maker.add("If", known, **branches))
    check(load(maker, tmp_path))
    open_one = maker.add("Cast", maker.add("ReduceMax", x, keepdims=0), to=9)
    maker.output("open", maker.add("If", open_one, **branches))
    with pytest.raises(FrontendError, match=r"without a converter: If \(/If_"):
        load(maker, tmp_path)


def test_masked_weights_are_weights(tmp_path):
    maker = GraphMaker()
    x = maker.input("x", "float32", (2, 8))
    mask = (RNG.random((8, 4)) < 0.3).astype(np.float32)
    weight, kept = maker.weight("w", normal(8, 4)), maker.weight("m", mask)
    with maker.within("layer.0/dense"):
        product = maker.add("MatMul", x, maker.add("Mul", weight, kept))
        maker.output("y", maker.add("Add", product, maker.weight("layer.0.dense.bias", normal(4))))
    imported = load(maker, tmp_path)
    np.testing.assert_array_equal(
        imported.params["layer_._0/dense/weight"], maker.weights[weight] * mask
    )
    check(imported)


@pytest.mark.parametrize(
    ("kind", "products"), [("windows", 1), ("keys", 0), ("causal", 0), ("lowest", 0)]
)
def test_a_guard_against_queries_that_see_no_key(tmp_path, kind, products):
    maker = GraphMaker()
    q, k, v = (maker.input(name, "float32", (2, 3, 6, 8)) for name in "qkv")
    ids = maker.input("attention_mask", "int64", (2, 6))
    add, nothing = maker.add, maker.constant(0.0, "float32")
    near = np.abs(np.subtract.outer(np.arange(6), np.arange(6))) <= 1
    # With the lowest number for infinity there is always a softmax, and nothing to guard.
    lowest = np.finfo("float32").min if kind == "lowest" else -np.inf
    hidden = maker.constant(lowest, "float32")
    if kind == "causal":  # known: every query sees itself
        bias = maker.constant(np.where(np.tri(6) > 0, 0, -np.inf)[None, None], "float32")
    else:
        kept = add("Cast", add("Unsqueeze", ids, maker.constant([1, 2])), to=9)
        if kind in ("windows", "lowest"):  # those of padding may see padding alone
            kept = add("And", kept, maker.constant(near[None, None], "bool"))
        bias = add("Where", kept, nothing, hidden)
    scores = add("MatMul", q, add("Transpose", k, perm=[0, 1, 3, 2]))
    weights = add("Softmax", add("Add", scores, bias), axis=-1)
    weights = add("Where", add("IsNaN", weights), nothing, weights)
    maker.output("out", add("MatMul", weights, v))
    imported = load(maker, tmp_path)
    names = [op_name(binding.value) for binding in bindings(imported.mod["main"])]
    assert names.count("relax.nn.attention_bias") == 1
    assert "relax.isnan" not in names
    assert names.count("relax.multiply") == products
    check(imported)
