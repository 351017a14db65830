"""Numbers show what is known of them, and no more."""

from __future__ import annotations

import pytest
from example_record import QUIET

from tvm_sparse.bench.disturbance import Disturbance
from tvm_sparse.report.figures import describe_disturbance, figure, spread_of

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("value", "spread", "text"),
    [
        (19.68, 0.0, "19.68"),
        (19.68, 0.03, "19.68"),
        (19.68, 0.12, "19.7"),
        (19.68, 1.2, "20"),
        (187.4, 31.0, "190"),
        # Whatever it varies by, one digit stands.
        (8.2, 40.0, "8"),
        (0.4312, 0.0, "0.4312"),
        (0.4312, 0.02, "0.43"),
        (0.4312, 7.0, "0.4"),
        (0.0, 0.5, "0.0"),
    ],
)
def test_digits_are_no_finer_than_the_spread(value, spread, text) -> None:
    assert figure(value, spread) == text


def test_the_spread_is_half_of_what_most_values_span() -> None:
    assert spread_of([10.0]) == 0
    assert spread_of([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]) == 4


def test_a_busy_machine_is_named_with_its_signs() -> None:
    assert describe_disturbance(None) == describe_disturbance(QUIET) == ""
    busy = Disturbance(waiting=0.45, slowness=1.0, spread=2.1, skew=1.0, attempts=3)
    assert describe_disturbance(busy).startswith(
        "busy machine: unreliable (measured 3 times; programs waited for a core 45% of the time, "
        "half of the runs took over 2.1 times the fastest)"
    )
