"""Rounded weights: the proof that nothing overflows, and how little is lost for it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tvm_sparse.errors import ConfigError
from tvm_sparse.formats.int8_bsr import Int8SparseFormat
from tvm_sparse.formats.int8_panels import (
    FastInt8DenseFormat,
    Int8DenseFormat,
    WideInt8DenseFormat,
)
from tvm_sparse.formats.int8_tiles import pack_tiles
from tvm_sparse.formats.quads import form_quads
from tvm_sparse.formats.quantized import (
    AMX,
    EXACT,
    FAST,
    GRADES,
    MOST_WEIGHT,
    VNNI,
    WIDE,
    WORD,
    as_words,
    grade_of,
    overflowing,
    quantize_rows,
)
from tvm_sparse.formats.token_layout import TokenLayout
from tvm_sparse.formats.weight_format import ProductShape
from tvm_sparse.sparsity.bsr import to_bsr
from tvm_sparse.target import resolve_target

pytestmark = pytest.mark.unit


def worst_sums(values: np.ndarray, span: int) -> tuple[int, int]:
    """The highest and the lowest sum of 16 bits that any activations of 0..255 can make."""
    rows, count, _ = values.shape
    padded = np.zeros((rows, -(-count // span) * span, 2, 2), np.int64)
    padded[:, :count] = values.reshape(rows, count, 2, 2)
    spans = padded.reshape(rows, -1, span, 2, 2)
    most, least = (part.sum(axis=(2, 4)) * 255 for part in (spans.clip(0), spans.clip(max=0)))
    return int(most.max(initial=0)), int(least.min(initial=0))


_ROWS = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.integers(1, 13), st.just(4)),
    elements=st.floats(-1e4, 1e4, width=32) | st.sampled_from([0.0, 1.0, -1.0, 3e-30]),
)


@settings(max_examples=60, deadline=None)
@given(_ROWS, st.sampled_from(sorted(GRADES)))
def test_no_activations_make_a_sum_overflow(weight, name):
    grade = GRADES[name]
    values, scales = quantize_rows(weight, grade)
    assert not overflowing(values, grade).any()
    if grade.span:
        most, least = worst_sums(values, grade.span)
        assert most < 2**15
        assert least >= -(2**15)
    # No value is off by more than half of a step.
    gaps = np.abs(values * scales[:, None, None].astype(np.float64) - weight)
    assert (gaps <= scales[:, None, None] * 0.5001).all()


@settings(max_examples=60, deadline=None)
@given(
    arrays.arrays(
        np.int8,
        st.tuples(st.integers(1, 3), st.integers(1, 9), st.just(4)),
        elements=st.integers(-128, 127),
    ),
    st.sampled_from([EXACT, FAST]),
)
def test_what_overflows_is_found(values, grade):
    for row, over in zip(values, overflowing(values, grade), strict=True):
        most, least = worst_sums(row[None], grade.span)
        assert over == (most >= 2**15 or least < -(2**15))


def test_scales_are_as_fine_as_can_be():
    weight = np.random.default_rng(0).standard_normal((200, 192, 4)).astype(np.float32)
    ranges = {}
    for name, grade in GRADES.items():
        values, scales = quantize_rows(weight, grade)
        ranges[name] = np.abs(values.astype(np.int16)).max(axis=(1, 2)).mean()
        if grade.span:
            # Two steps finer, and every row overflows.
            finer = np.rint(weight / (scales * (1 - 2 * grade.span / 128))[:, None, None])
            assert overflowing(finer.astype(np.int16), grade).all()
    assert MOST_WEIGHT < ranges["vnni"] < MOST_WEIGHT + 1
    assert 90 < ranges["exact"] < 110  # halving all, as others do, leaves 63
    assert 45 < ranges["fast"] < 65


def test_rows_in_pieces_are_rounded_as_whole_ones():
    weight = np.random.default_rng(1).standard_normal((5, 8, 4)).astype(np.float32)
    for grade in GRADES.values():
        values, scales = quantize_rows(weight, grade)
        starts = np.array([0, 8, 8, 16, 24, 32, 40])  # the second row has no words
        flat, found = quantize_rows(weight.reshape(-1, 4), grade, starts)
        np.testing.assert_array_equal(flat, values.reshape(-1, 4))
        np.testing.assert_array_equal(np.delete(found, 1), scales)
        assert found[1] == 1


def test_words_hold_four_values_from_the_lowest_byte_on():
    values = np.array([[1, -1, 0, 2]], np.int8)
    assert as_words(values).tolist() == [0x0200FF01]
    wide = as_words(values, WIDE).view("<i2")
    assert wide.tolist() == [1, 0, -1, 2]


_BLOCKS = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(1, 6).map(lambda n: 4 * n)),
    elements=st.sampled_from([0.0, 0.0, 1.0, -2.0]),
)


@settings(max_examples=60, deadline=None)
@given(_BLOCKS, st.sampled_from([1, 2]), st.integers(1, 3))
def test_quads_hold_every_column_once(weight, width, panels):
    rows, bs_r, depth = weight.shape
    bsr = to_bsr(weight.reshape(rows * bs_r, depth), (bs_r, width))
    starts = (np.arange(panels) * (depth // 4) + panels - 1) // panels
    data, words, indptr = form_quads(bsr.data, bsr.indices, bsr.indptr, starts)
    found, panel_of = np.zeros_like(weight), np.searchsorted(starts, words, side="right") - 1
    for row, (first, stop) in enumerate(itertools.pairwise(indptr)):
        for quad in range(first, stop):
            found[row][:, words[quad] * 4 + np.arange(4)] += data[quad]
        # Panel by panel, and none in two of them.
        assert (np.diff(panel_of[first:stop, 0]) >= 0).all()
    assert (panel_of == panel_of[:, :1]).all()
    np.testing.assert_array_equal(found, weight)


@pytest.mark.parametrize(
    ("target", "fast", "grade"),
    [
        ("x86-64-v3", False, EXACT),
        ("x86-64-v4", True, FAST),
        ("x86-64-v3-vnni", False, VNNI),
        ("x86-64-v4-vnni", True, VNNI),
    ],
)
def test_a_cpu_decides_about_the_grade(target, fast, grade):
    assert grade_of(resolve_target(target), fast) == grade
    assert grade_of(resolve_target(target), fast, is_dense=True) == grade


def test_tiles_are_for_dense_weights():
    target = resolve_target("x86-64-v4-amx")
    assert grade_of(target, is_dense=True) == grade_of(target, fast=True, is_dense=True) == AMX
    assert grade_of(target) == VNNI


@pytest.mark.parametrize(("units", "depth"), [(32, 64), (37, 36), (70, 128), (5, 772)])
def test_tiles_hold_every_weight_once(units, depth):
    values = np.random.default_rng(0).integers(-127, 128, (units, depth)).astype(np.int8)
    packed = pack_tiles(values)
    form = Int8DenseFormat(32, "amx")
    assert packed.nbytes + 8 * units == form.size_bytes((units, depth))
    pairs, steps, _, words = packed.shape
    ends = [min((step + 1) * words, depth // WORD) for step in range(steps)]
    found = np.zeros((pairs * 32, depth), np.int64)
    for step, end in enumerate(ends):
        tiles = packed[:, step].reshape(-1, words).view(np.int8)
        found[:, (end - words) * WORD : end * WORD] += tiles
    np.testing.assert_array_equal(found[:units], values)
    assert not found[units:].any()


def test_aarch64_is_told_what_to_do():
    with pytest.raises(ConfigError, match="choose a target of x86-64, or a build of float32"):
        grade_of(resolve_target("aarch64"))


@pytest.mark.parametrize("kind", [Int8DenseFormat, FastInt8DenseFormat, WideInt8DenseFormat])
def test_dense_weights_weigh_a_quarter_or_half(kind):
    form = kind.choose(ProductShape(12, 20, TokenLayout(1, 16, 16, 8)), resolve_target("x86-64-v3"))
    weight = np.random.default_rng(2).standard_normal((12, 20)).astype(np.float32)
    words, scales, sums = form.pack([weight], 20)
    wide = kind is WideInt8DenseFormat
    assert words.nbytes == 12 * 20 * (1 + wide)
    assert form.size_bytes((12, 20)) == sum(array.nbytes for array in (words, scales, sums))
    if wide:  # panels of 4 rows, in pairs of even and of odd places
        halves = words.reshape(3, 5, 4, 2).transpose(0, 2, 1, 3).copy().view("<i2")
        back = halves.reshape(12, 5, 4)[..., [0, 2, 1, 3]].reshape(12, 20) * scales[:, None]
    else:
        back = words.transpose(0, 2, 1).copy().view(np.int8).reshape(12, 20) * scales[:, None]
    np.testing.assert_allclose(back, weight, atol=scales.max())
    np.testing.assert_allclose(sums * scales, weight.sum(axis=1), atol=scales.max() * 10)


def test_blocks_are_rounded_by_rows():
    rng = np.random.default_rng(3)
    weight = rng.standard_normal((8, 24)).astype(np.float32)
    weight *= np.kron(rng.random((2, 3)) < 0.5, np.ones((4, 8), np.float32))
    bsr = to_bsr(weight, (4, 8))
    *packed, scales, sums = Int8SparseFormat(16).pack([bsr.data, bsr.indices, bsr.indptr], 24)
    assert packed[0].dtype == np.int32
    assert packed[0].shape[1:] == (1, 2, 4)
    np.testing.assert_allclose(sums * scales, weight.sum(axis=1), atol=scales.max() * 12)


def test_formats_say_what_they_cannot_hold():
    layout = TokenLayout(1, 16, 16, 8)
    assert Int8DenseFormat.refusal(ProductShape(8, 21, layout)) == "K = 21 is no multiple of 4"
    assert not Int8DenseFormat.refusal(ProductShape(8, 20, layout))
    shape = ProductShape(8, 21, layout, (4, 1))
    assert Int8SparseFormat.refusal(shape) == "K = 21 is no multiple of 4"


def test_integers_are_found_again_from_their_values():
    rng = np.random.default_rng(0)
    values = rng.integers(-90, 91, (20, 8, 4)).astype(np.int8)
    values[::2, 3, 1], values[1::2, 5, 2] = 127, -128
    steps = rng.uniform(0.001, 0.1, (20, 1, 1)).astype(np.float32)
    found, scales = quantize_rows(values * steps, GRADES["vnni"])
    np.testing.assert_array_equal(found, values)
    np.testing.assert_allclose(scales, steps.ravel(), rtol=1e-6)
