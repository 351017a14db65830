"""What serving costs: arithmetic."""

from __future__ import annotations

import pytest

from tvm_sparse.errors import ConfigError
from tvm_sparse.tuning.setting import Setting
from tvm_sparse.whatif.economy import Pricing, economy_of

pytestmark = pytest.mark.unit


def test_a_million_requests_take_core_hours_and_money():
    # Four sequences in 36 ms on two threads: 18 core milliseconds each.
    pricing = Pricing(per_core_hour=0.05, requests_per_day=24e6)
    found = economy_of("dense", Setting(128, 4, 2, 4), 36.0, pricing, measured=True)
    assert found.items_per_s_per_core == pytest.approx(1 / 0.018)
    assert found.core_hours_per_million == pytest.approx(5.0)
    assert found.cost_per_million == pytest.approx(0.25)
    assert found.cost_per_year == pytest.approx(0.25 * 24 * 365)
    assert found.cores == pytest.approx(24e6 * 0.018 / 86_400)


def test_without_a_price_nothing_costs_money():
    found = economy_of("dense", Setting(128, 1, 1, 1), 10.0, Pricing(), measured=False)
    assert (found.cost_per_million, found.cost_per_year, found.cores) == (None, None, None)
    assert found.items_per_s_per_core == pytest.approx(100.0)


@pytest.mark.parametrize("price", [0.0, -1.0, float("inf"), float("nan")])
def test_a_price_that_is_none_is_refused(price):
    with pytest.raises(ConfigError, match=r"per_core_hour .* given: it must be a number over 0"):
        Pricing(per_core_hour=price)
