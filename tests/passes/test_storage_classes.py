"""Storage is of tensors of one size, and rounded where the run decides how much it is."""

from __future__ import annotations

import re
from collections import defaultdict

import numpy as np
import pytest
from kernel_runner import RUNNABLE, run
from relax_modules import make_encoder, random_values
from tvm import relax

from tvm_sparse.ir.dims import BATCH
from tvm_sparse.kernels.tvm_target import tvm_target
from tvm_sparse.kernels.vector import T, argument, parallel, prim_func, store
from tvm_sparse.passes.pipeline import LOWER, lower
from tvm_sparse.passes.storage_classes import RoundStorage, SplitStorage, _next_power_of_two
from tvm_sparse.target import resolve_target

pytestmark = pytest.mark.ir


def test_tensors_share_a_storage_that_are_of_one_size() -> None:
    mod = make_encoder(num_layers=2)
    lowered = lower(mod, random_values(mod)[1], resolve_target())
    with tvm_target(resolve_target()):
        text = LOWER(lowered.mod)["main"].script(show_meta=False)
    sizes = dict(re.findall(r"(\w+): .*alloc_storage.*?R.shape\(\[(\d+)\]\)", text))
    shapes = defaultdict(list)
    for storage, shape in re.findall(r"alloc_tensor.*?\((\w+), .*?R.shape\(\[([\d, ]+)\]\)", text):
        shapes[storage].append(np.prod([int(extent) for extent in shape.split(", ")]))
    assert set(shapes) == set(sizes)
    assert max(map(len, shapes.values())) > 1
    for storage, values in shapes.items():
        assert {4 * value for value in values} == {int(sizes[storage])}


def test_a_boolean_takes_a_byte() -> None:
    bb = relax.BlockBuilder()
    x = relax.Var("x", relax.TensorType((3,), "float32"))
    with bb.function("main", [x]):
        planned = bb.emit(
            relax.op.memory.alloc_storage(relax.ShapeExpr([64]), 0, "global", "uint8")
        )
        for dtype in ("bool", "float32"):
            shape = relax.ShapeExpr([2, 6])
            bb.emit(relax.op.memory.alloc_tensor(planned, 0, shape, dtype))
        bb.emit_func_output(x)
    text = SplitStorage()(bb.get())["main"].script(show_meta=False)
    assert re.findall(r"alloc_storage\(R.shape\(\[(\d+)\]\)", text) == ["12", "48"]


@pytest.mark.parametrize(
    ("size", "rounded"), [(2, 2), (3, 4), (4096, 4096), (4097, 8192), ((1 << 40) + 1, 1 << 41)]
)
def test_storage_is_rounded_to_powers_of_two(size: int, rounded: int) -> None:
    def body() -> None:
        given, out = argument("given", (1,), "int64"), argument("out", (1,))
        with parallel(1, "round"):
            store(out, T.Cast("float32", _next_power_of_two(given[0])), [0], 1)

    assert run(prim_func(body), [np.array([size])], (1,), RUNNABLE[-1]) == [rounded]


def test_storage_that_a_run_decides_about_is_rounded_and_told_apart() -> None:
    bb = relax.BlockBuilder()
    x = relax.Var("x", relax.TensorType((BATCH, 3), "float32"))
    with bb.function("main", [x]):
        for size in (BATCH * 12, 100, BATCH * 16, BATCH * 12):
            shape = relax.ShapeExpr([size])
            bb.emit(relax.op.memory.alloc_storage(shape, 0, "global", "uint8"))
        bb.emit_func_output(x)
    text = RoundStorage()(bb.get())["main"].script(show_meta=False)
    assert text.count("clz") == 3
    assert text.count("4096") == 1
    assert "R.shape([100])" in text
