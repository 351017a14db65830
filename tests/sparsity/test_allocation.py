import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tvm_sparse.errors import SparsityError
from tvm_sparse.sparsity.allocation import LossCurve, allocate, loss_at

pytestmark = pytest.mark.unit
LEVELS = (0.25, 0.5, 0.75, 1.0)


def quadratic(name, blocks, scale):
    return LossCurve(name, blocks, LEVELS, tuple(scale * s**2 for s in LEVELS))


@st.composite
def problems(draw):
    curves = []
    for i in range(draw(st.integers(1, 5))):
        losses = draw(st.lists(st.floats(0, 10), min_size=4, max_size=4))
        curves.append(LossCurve(f"layer{i}", draw(st.integers(1, 400)), LEVELS, tuple(losses)))
    return curves, draw(st.floats(0, 1))


@given(problems())
def test_the_budget_is_spent_exactly(problem):
    curves, sparsity = problem
    zeros = allocate(curves, sparsity)
    assert sum(zeros.values()) == round(sum(c.blocks for c in curves) * sparsity)
    assert all(0 <= zeros[c.name] <= c.blocks for c in curves)


def test_no_other_choice_loses_less():
    curves = [quadratic("a", 12, 1.0), quadratic("b", 8, 3.0), quadratic("c", 10, 0.3)]
    zeros = allocate(curves, 0.5)

    def total(counts):
        return sum(
            float(loss_at(c, np.array([n / c.blocks]))[0])
            for c, n in zip(curves, counts, strict=True)
        )

    choices = itertools.product(range(13), range(9), range(11))
    best = min(total(counts) for counts in choices if sum(counts) == 15)
    assert total([zeros[c.name] for c in curves]) == pytest.approx(best, rel=0.02)


def test_equal_layers_get_equal_shares():
    zeros = allocate([quadratic(name, 1000, 2.0) for name in "abc"], 0.6)
    assert sum(zeros.values()) == 1800
    assert max(zeros.values()) - min(zeros.values()) <= 16  # one step of the curve


def test_a_costly_layer_is_spared():
    zeros = allocate([quadratic("cheap", 100, 0.01), quadratic("dear", 100, 1.0)], 0.4)
    assert zeros["cheap"] > 70 > 10 > zeros["dear"]


def test_curves_that_end_early_bound_the_budget():
    curve = LossCurve("a", 100, (0.5, 0.8), (0.1, 0.4))
    assert allocate([curve], 0.8) == {"a": 80}
    with pytest.raises(SparsityError, match=r"may reach 0\.8 together"):
        allocate([curve], 0.9)


def test_losses_in_between():
    curve = LossCurve("a", 100, (0.4, 0.8), (0.1, 0.9))
    found = loss_at(curve, np.array([0.0, 0.2, 0.4, 0.6, 0.8]))
    assert found[[0, 1, 2, 4]] == pytest.approx([0, 0.05, 0.1, 0.9])
    assert 0.1 < found[3] < 0.9


def test_a_layer_that_never_loses_anything_goes_first():
    zeros = allocate([LossCurve("free", 50, (1.0,), (0.0,)), quadratic("b", 50, 1.0)], 0.5)
    assert zeros == {"free": 50, "b": 0}


@pytest.mark.parametrize(
    ("levels", "losses", "message"),
    [
        ((), (), "at least one"),
        ((0.5,), (1.0, 2.0), "one loss for each"),
        ((0.0, 0.5), (0.0, 1.0), "must ascend"),
        ((0.5, 0.5), (0.0, 1.0), "must ascend"),
        ((0.5, 1.1), (0.0, 1.0), "must ascend"),
    ],
)
def test_curves_that_make_no_sense_are_refused(levels, losses, message):
    with pytest.raises(SparsityError, match=message):
        LossCurve("a", 10, levels, losses)


def test_nothing_to_prune_is_refused():
    with pytest.raises(SparsityError, match="no layers"):
        allocate([], 0.5)
