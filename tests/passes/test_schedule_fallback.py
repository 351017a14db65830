"""ScheduleFallback: faster loops, the same numbers, our own kernels untouched."""

from __future__ import annotations

import numpy as np
import pytest
import tvm
from kernel_runner import widest
from relax_modules import evaluate, make_module, random_values
from tolerances import MODEL
from tvm import relax
from tvm.ir import assert_structural_equal

from tvm_sparse.formats.token_layout import choose_layout
from tvm_sparse.kernel_facts import KernelFacts
from tvm_sparse.kernels.description import describe
from tvm_sparse.kernels.token_layout import make_pack_tokens
from tvm_sparse.kernels.tvm_target import tvm_target
from tvm_sparse.passes import fast_math
from tvm_sparse.passes.schedule_fallback import ScheduleFallback

pytestmark = pytest.mark.ir

op = relax.op
TARGET = widest()


def fuse(mod: tvm.IRModule) -> tvm.IRModule:
    """Take a module to where the pipeline schedules it."""
    passes = [
        fast_math.legalize(),
        relax.transform.AnnotateTIROpPattern(),
        relax.transform.FoldConstant(),
        relax.transform.FuseOps(),
        relax.transform.FuseTIR(),
    ]
    with tvm_target(TARGET):
        return tvm.transform.Sequential(passes)(mod)


def kernels(mod: tvm.IRModule) -> list[tvm.tirx.PrimFunc]:
    return [func for func in mod.functions.values() if isinstance(func, tvm.tirx.PrimFunc)]


def loop_kinds(func: tvm.tirx.PrimFunc) -> set[str]:
    text = func.script(show_meta=False)
    return {kind for kind in ("parallel", "vectorized") if f"T.{kind}(" in text}


def elementwise(emit, x, y):
    return op.multiply(emit(op.add(emit(op.nn.gelu(x)), y)), relax.const(0.5, "float32"))


def embeddings(emit, ids, table, position):
    rows = emit(op.take(table, ids, axis=0, mode="clip"))
    return op.add(rows, position)


def mask(emit, ids):
    wide = emit(op.reshape(emit(op.astype(ids, "float32")), (3, 1, 1, 37)))
    return op.multiply(
        emit(op.subtract(relax.const(1.0, "float32"), wide)), relax.const(-1e9, "float32")
    )


def reductions(emit, x):
    centred = emit(op.subtract(x, emit(op.mean(x, axis=[-1], keepdims=True))))
    return relax.Tuple([emit(op.sum(centred, axis=[0, 2])), emit(op.max(x)), emit(op.max(x, [1]))])


def softmax(emit, x):
    return op.nn.softmax(emit(op.multiply(x, x)), axis=1)


def convolution(emit, x, kernel, gamma, beta, mean, variance):
    padded = emit(op.nn.conv2d(x, kernel, strides=(2, 2), padding=(1, 1)))
    normal = emit(op.nn.batch_norm(padded, gamma, beta, mean, op.abs(variance), axis=1))
    return op.nn.relu(emit(relax.TupleGetItem(normal, 0)))


def pooling(emit, x):
    largest = emit(op.nn.max_pool2d(x, (3, 3), strides=(2, 2), padding=(1, 1)))
    return relax.Tuple(
        [largest, emit(op.nn.avg_pool2d(x, (2, 2))), emit(op.nn.adaptive_avg_pool2d(x, (1, 1)))]
    )


def moves(emit, x):
    parts = emit(op.split(x, 2, axis=2))
    both = [emit(relax.TupleGetItem(parts, index)) for index in (1, 0)]
    joined = emit(op.concat(both, axis=2))
    cut = emit(op.strided_slice(joined, axes=[1], begin=[0], end=[1]))
    return relax.Tuple([emit(op.permute_dims(joined, [2, 0, 1])), emit(op.squeeze(cut, [1]))])


def batched_product(emit, x, y):
    return op.matmul(x, emit(op.permute_dims(y, [0, 2, 1])))


def products(emit, x, y, kernel):
    """Both operands by rows, one by columns, channels as rows, and none that is shared."""
    plain = emit(op.matmul(x, y))
    turned = emit(op.matmul(x, emit(op.permute_dims(y, [0, 2, 1]))))
    images = emit(op.reshape(turned, (1, 4, 24, 24)))
    folded = emit(op.nn.conv2d(images, kernel, padding=(1, 1)))
    alone = emit(op.nn.conv2d(images, op.reshape(kernel, (4, 1, 6, 6)), padding=(1, 1), groups=4))
    return relax.Tuple([emit(op.nn.relu(plain)), folded, alone])


def tiny(emit, x):
    return op.add(emit(op.reshape(x, ())), relax.const(1.0, "float32"))


CHANNELS = dict.fromkeys(("gamma", "beta", "mean", "variance"), (5,))
CASES = {
    elementwise: ({"x": (3, 37, 65), "y": (65,)}, {}),
    embeddings: ({"ids": (3, 37)}, {"table": (2, 24), "position": (37, 24)}),
    mask: ({"ids": (3, 37)}, {}),
    reductions: ({"x": (7, 31, 33)}, {}),
    softmax: ({"x": (7, 31, 33)}, {}),
    convolution: ({"x": (2, 3, 17, 19)}, {"kernel": (5, 3, 3, 3), **CHANNELS}),
    pooling: ({"x": (2, 5, 16, 18)}, {}),
    moves: ({"x": (2, 33, 48)}, {}),
    batched_product: ({"x": (4, 33, 20), "y": (4, 37, 20)}, {}),
    products: ({"x": (4, 24, 24), "y": (4, 24, 24)}, {"kernel": (4, 4, 3, 3)}),
    tiny: ({"x": (1,)}, {}),
}


@pytest.mark.parametrize("body", CASES, ids=lambda body: body.__name__)
def test_the_numbers_stay(body):
    mod = make_module(*CASES[body], body)
    inputs, params = random_values(mod)
    fused = fuse(mod)
    text = fused.script()
    scheduled = ScheduleFallback(TARGET)(fused)
    assert fused.script() == text, "the module given in is changed"
    relax.analysis.well_formed(scheduled)
    for found, wanted in zip(
        evaluate(scheduled, params, inputs), evaluate(mod, params, inputs), strict=True
    ):
        np.testing.assert_allclose(found, wanted, **MODEL)


def test_large_elementwise_work_is_parallel_and_vectorised():
    for extents, expected in (
        ((256, 128), {"parallel", "vectorized"}),
        ((2, 64), {"vectorized"}),
        ((2, 3), set()),
    ):
        mod = fuse(make_module({"x": extents}, {}, lambda emit, x: op.nn.relu(x)))
        (before,), (after,) = kernels(mod), kernels(ScheduleFallback(TARGET)(mod))
        assert loop_kinds(before) == set()
        assert loop_kinds(after) == expected


@pytest.mark.parametrize(
    ("body", "inputs"),
    [
        (op.matmul, {"x": (4, 64, 40), "y": (4, 40, 96)}),
        (op.nn.conv2d, {"x": (1, 8, 32, 32), "kernel": (16, 8, 3, 3)}),
    ],
)
def test_products_are_summed_up_in_registers(body, inputs):
    mod = fuse(make_module(inputs, {}, lambda emit, *operands: body(*operands)))
    scheduled = ScheduleFallback(TARGET)(mod)
    (kernel,) = (func for func in kernels(scheduled) if 'scope="local"' in func.script())
    assert loop_kinds(kernel) == {"parallel", "vectorized"}


def test_a_fused_chain_is_one_loop_nest():
    mod = make_module({"x": (64, 128), "y": (128,)}, {}, elementwise)
    (func,) = kernels(ScheduleFallback(TARGET)(fuse(mod)))
    assert not func.body.block.alloc_buffers


def test_our_kernels_and_relax_functions_are_left_alone():
    kernel = make_pack_tokens(choose_layout(1, 9, TARGET), 16)
    kernel = describe(kernel, KernelFacts("pack_tokens"))
    main = make_module({"x": (3,)}, {}, lambda emit, x: op.negative(x))["main"]
    mod = tvm.IRModule({"main": main, "pack_tokens": kernel}, attrs={"mark": "kept"})
    scheduled = ScheduleFallback(TARGET)(mod)
    assert scheduled["pack_tokens"].same_as(mod["pack_tokens"])
    assert_structural_equal(scheduled["main"], main)
    assert scheduled.attrs["mark"] == "kept"


def test_attributes_of_kernels_are_kept():
    before = fuse(make_module({"x": (64, 128)}, {}, lambda emit, x: op.nn.relu(x)))
    (old,), (new,) = kernels(before), kernels(ScheduleFallback(TARGET)(before))
    assert dict(old.attrs).keys() <= dict(new.attrs).keys()
