"""Rows of integers are found again from their floats."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tvm_sparse.formats.integer_rows import integer_steps
from tvm_sparse.formats.quantized import EXACT, VNNI, quantize_rows
from tvm_sparse.quantization.weights import comes_rounded, rows_rounded_anew

pytestmark = pytest.mark.unit
RNG = np.random.default_rng(0)


@settings(max_examples=60, deadline=None)
@given(
    arrays.arrays(np.int8, st.tuples(st.integers(1, 5), st.integers(1, 40))),
    st.floats(2**-20, 2**10, width=32),
)
def test_integers_times_a_step_are_found_again(integers, step) -> None:
    weight = (integers * np.float32(step)).astype(np.float32)
    starts = np.arange(len(weight) + 1) * weight.shape[1]
    steps = integer_steps(weight.ravel(), starts)
    assert (steps > 0).all()
    found = np.rint(weight / steps[:, None])
    np.testing.assert_allclose(found * steps[:, None], weight, rtol=1e-5)
    assert np.abs(found).max() <= np.abs(integers.astype(int)).max()


def test_rows_of_other_lengths_and_of_zeros() -> None:
    values = np.array([0.5, -1.5, 0, 0, 0, 0.3, 0.1234, 0.7777], np.float32)
    steps = integer_steps(values, np.array([0, 2, 2, 5, 8]))
    np.testing.assert_array_equal(steps, np.array([0.5, 1, 1, 0], np.float32))


def test_floats_have_no_step() -> None:
    weight = RNG.standard_normal((64, 96)).astype(np.float32)
    assert not integer_steps(weight.ravel(), np.arange(65) * 96).any()
    assert not comes_rounded(weight)


def test_a_scale_for_a_whole_tensor_is_kept_where_sums_have_room() -> None:
    integers = RNG.integers(-30, 31, (4, 64))
    integers[0, :2] = 127  # a pair that AVX2's sums have no room for
    weight = (integers * np.float32(0.01)).astype(np.float32)
    assert comes_rounded(weight)
    assert [rows_rounded_anew(weight, grade) for grade in (VNNI, EXACT)] == [0, 1]
    values, scales = quantize_rows(weight.reshape(4, -1, 4), VNNI)
    np.testing.assert_array_equal(values.reshape(4, 64), integers)
    np.testing.assert_allclose(scales, 0.01, rtol=1e-6)


def test_values_that_may_meet_anywhere_need_more_room() -> None:
    integers = RNG.integers(-20, 21, (4, 64))
    integers[1, [0, 8]] = 100  # in pairs of their own, as they lie
    integers[2, [3, 9]] = -100
    weight = (integers * np.float32(0.01)).astype(np.float32)
    for grade, anew in ((EXACT, 2), (VNNI, 0)):
        assert rows_rounded_anew(weight, grade) == 0
        assert rows_rounded_anew(weight, grade, in_any_order=True) == anew


def test_integers_around_a_zero_point_may_leave_eight_bits() -> None:
    integers = RNG.integers(0, 256, (4, 64)) - 100
    integers[1:] = integers[1:].clip(-100, 127)
    integers[0, 0] = 155
    weight = (integers * np.float32(0.01)).astype(np.float32)
    assert comes_rounded(weight)
    assert rows_rounded_anew(weight, VNNI) == 1
    assert not comes_rounded(weight * (RNG.random(weight.shape) < 0.05))
