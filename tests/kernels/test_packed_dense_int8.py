"""Dense products of words: exactly what integers are, for every grade."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import tvm
from int8_kernels import INT8_TARGETS, activations, limit_weight, run_int8, to_words, truth
from kernel_runner import dense_tolerance, dense_truth, normal, to_rows, to_tiles

from tvm_sparse.formats.int8_panels import (
    FastInt8DenseFormat,
    Int8DenseFormat,
    WideInt8DenseFormat,
)
from tvm_sparse.formats.quantized import GRADES, WORD, quantize_rows
from tvm_sparse.formats.token_layout import TokenLayout, choose_layout
from tvm_sparse.formats.weight_format import ProductShape
from tvm_sparse.kernel_facts import Epilogue
from tvm_sparse.kernels.packed_dense import make_packed_dense
from tvm_sparse.kernels.tile_dense import make_tile_dense
from tvm_sparse.kernels.tvm_target import tvm_target
from tvm_sparse.ops.packed_dense_int8 import PackedDenseInt8
from tvm_sparse.runtime.crew import on_threads
from tvm_sparse.target import CpuTarget, resolve_target

pytestmark = pytest.mark.numeric

#: Tokens, batch, N, K: full tiles and tails of tokens, of panels, and of spans of words.
SHAPES = [
    *((128, 1, 48, 64), (21, 2, 37, 36), (3, 1, 1, 4), (16, 1, 26, 772)),
    *((48, 3, 100, 132), (128, 16, 64, 2048)),
]


KINDS = [Int8DenseFormat, FastInt8DenseFormat, WideInt8DenseFormat]


def kernel_of(
    form: Int8DenseFormat, shape: ProductShape, epilogue: Epilogue | None = None
) -> tvm.tirx.PrimFunc:
    return PackedDenseInt8(shape, epilogue or Epilogue(), form).kernel()[1]


def check(
    target: CpuTarget, layout: TokenLayout, weight: np.ndarray, form: Int8DenseFormat, kind: str
) -> None:
    units, depth = weight.shape
    values, shifts = activations(
        np.random.default_rng(depth), kind, layout.batch, layout.seq_len, depth
    )
    packed = form.pack([weight], depth)
    rounded, scales = quantize_rows(weight.reshape(units, -1, WORD), GRADES[form.grade])
    out = run_int8(
        kernel_of(form, ProductShape(units, depth, layout)),
        [to_words(values, shifts, layout), *packed],
        layout.shape(units),
        target,
    )
    np.testing.assert_array_equal(
        to_rows(out, layout), truth(values, shifts, rounded.reshape(units, depth), scales)
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", INT8_TARGETS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_it_is_integer_arithmetic(name, kind, shape):
    seq_len, batch, units, depth = shape
    target = resolve_target(name)
    layout = choose_layout(batch, seq_len, target)
    form = kind.choose(ProductShape(units, depth, layout), target)
    check(target, layout, normal(np.random.default_rng(0), units, depth), form, "random")


@pytest.mark.parametrize("inputs", ["extreme", "zeros", "most"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", INT8_TARGETS)
def test_nothing_saturates_at_the_limit(name, kind, inputs):
    target = resolve_target(name)
    layout = choose_layout(1, 19, target)
    form = kind.choose(ProductShape(24, 256, layout), target)
    check(target, layout, limit_weight(24, 256), form, inputs)


@pytest.mark.skipif("x86-64-v4-vnni" not in INT8_TARGETS, reason="no AVX512-VNNI here")
def test_products_of_words_on_half_registers():
    target = resolve_target("x86-64-v4-vnni")
    layout = TokenLayout(1, 40, 16, 8)
    check(target, layout, limit_weight(20, 64), Int8DenseFormat(6, "vnni"), "extreme")


@pytest.mark.parametrize("name", ["x86-64-v3-vnni", "x86-64-v4-vnni"])
def test_targets_with_products_of_words_use_them(name):
    target = resolve_target(name)
    layout = choose_layout(1, 16, target)
    func = make_packed_dense(layout, 8, 32, 2, Epilogue(), "vnni")
    module = tvm.IRModule({"main": func.with_attr("global_symbol", "main")})
    code = tvm.compile(module, target=tvm_target(target)).mod.inspect_source("asm")
    register = "%zmm" if target.vector_bits == 512 else "%ymm"
    lines = [line for line in code.splitlines() if "vpdpbusd" in line]
    assert lines
    assert all(register in line for line in lines)
    assert target.vector_bits == 512 or "%zmm" not in code


def amx_code(layout: TokenLayout) -> list[str]:
    """Instructions of a kernel, and its calls of the system."""
    target = resolve_target("x86-64-v4-amx")
    shape = ProductShape(64, 256, layout)
    func = kernel_of(Int8DenseFormat.choose(shape, target), shape)
    module = tvm.IRModule({"main": func.with_attr("global_symbol", "main")})
    code = tvm.compile(module, target=tvm_target(target)).mod.inspect_source("asm")
    words = (line.split() for line in code.splitlines())
    return [" ".join(found) for found in words if found and not found[0].startswith((".", "#"))]


@pytest.mark.parametrize("layout", [TokenLayout(1, 128, 64, 16), TokenLayout(0, 0, 16, 16, 4)])
def test_tiles_are_multiplied_where_the_target_has_them(layout):
    code = amx_code(layout)
    count = Counter(line.split()[0] for line in code)
    assert count["tdpbsud"]
    assert not count["vpdpbusd"]
    # A thread configures the registers, and leaves none of them in use.
    assert count["ldtilecfg"] == count["tilerelease"] > 0
    assert any("syscall" in line for line in code)


@pytest.mark.skipif("x86-64-v4-amx" not in INT8_TARGETS, reason="no AMX here")
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("shape", [(16, 1, 96, 64), (128, 1, 512, 512), (40, 5, 300, 320)], ids=str)
def test_threads_share_tiles(shape, threads):
    seq_len, batch, units, depth = shape
    target = resolve_target("x86-64-v4-amx")
    layout = choose_layout(batch, seq_len, target)
    form = Int8DenseFormat.choose(ProductShape(units, depth, layout), target)
    weight = normal(np.random.default_rng(0), units, depth)
    on_threads(threads, lambda: check(target, layout, weight, form, "random"))


@pytest.mark.skipif("x86-64-v4-amx" not in INT8_TARGETS, reason="no AMX here")
def test_what_the_system_refuses_is_an_error(monkeypatch):
    # The number of a register set that no process may ask for.
    monkeypatch.setattr("tvm_sparse.kernels.amx.REQUEST", (158, 0x1023, 60))
    target = resolve_target("x86-64-v4-amx")
    layout = choose_layout(1, 16, target)
    form = Int8DenseFormat.choose(ProductShape(32, 64, layout), target)
    func = make_tile_dense(layout, 32, 64, Epilogue())
    values, shifts = activations(np.random.default_rng(0), "random", 1, 16, 64)
    packed = form.pack([limit_weight(32, 64)], 64)
    arguments = [to_words(values, shifts, layout), *packed]
    with pytest.raises(RuntimeError, match="this process may not use AMX: export the model with"):
        run_int8(func, arguments, layout.shape(32), target)


def test_without_the_proof_it_would_saturate():
    target = resolve_target(INT8_TARGETS[0])
    layout = choose_layout(1, 16, target)
    unproven = Int8DenseFormat(2, "vnni").pack([limit_weight(4, 64)], 64)
    values, shifts = activations(np.random.default_rng(0), "most", 1, 16, 64)
    out = run_int8(
        make_packed_dense(layout, 4, 64, 2, Epilogue(), "exact"),
        [to_words(values, shifts, layout), *unproven],
        layout.shape(4),
        target,
    )
    assert to_rows(out, layout)[0, 0, 0] == 64 / 2 * 32767 * unproven[1][0]


@pytest.mark.parametrize(
    "epilogue",
    [Epilogue(bias=True, activation="gelu"), Epilogue(bias=True, residual=True)],
    ids=lambda epilogue: "_".join(epilogue.words),
)
@pytest.mark.parametrize("name", INT8_TARGETS)
def test_what_is_fused_behind_it(name, epilogue):
    target, rng = resolve_target(name), np.random.default_rng(1)
    layout = choose_layout(2, 9, target)
    form = Int8DenseFormat.choose(ProductShape(20, 48, layout), target)
    values, shifts = activations(rng, "random", 2, 9, 48)
    weight, bias = normal(rng, 20, 48) / 300, normal(rng, 20)
    residual = normal(rng, 2, 9, 20) if epilogue.residual else None
    rounded, scales = quantize_rows(weight.reshape(20, -1, WORD), GRADES[form.grade])
    out = run_int8(
        kernel_of(form, ProductShape(20, 48, layout), epilogue),
        [
            to_words(values, shifts, layout),
            *form.pack([weight], 48),
            bias,
            to_tiles(residual, layout) if residual is not None else None,
        ],
        layout.shape(20),
        target,
    )
    data = values.astype(np.float64) - shifts[..., None]
    exact = rounded.reshape(20, 48) * scales[:, None].astype(np.float64)
    np.testing.assert_allclose(
        to_rows(out, layout),
        dense_truth(data, exact, epilogue, bias, residual),
        **dense_tolerance(48, epilogue),
    )
