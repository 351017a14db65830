"""Calls of a kernel count where the reference beside them is as fast as it ever was."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tvm_sparse.tuning import pace
from tvm_sparse.tuning.pace import Pace

pytestmark = pytest.mark.unit


class Machine:
    """Its clock moves only while something runs, at a speed that changes with time.

    Parameters
    ----------
    slowness : callable
        By how much everything takes longer, by the time in seconds.
    """

    def __init__(self, slowness: Callable[[float], float]) -> None:
        self.now_s = 0.0
        self._slowness = slowness

    def kernel(self, seconds: float, suffering: float = 1.0) -> Callable[..., None]:
        def run(*arguments: object) -> None:
            self.now_s += seconds * self._slowness(self.now_s) ** suffering

        return run

    def perf_counter(self) -> float:
        return self.now_s

    def perf_counter_ns(self) -> int:
        return round(self.now_s * 1e9)

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


@pytest.fixture
def make_machine(monkeypatch):
    """Return what makes a machine and lets the pace live by its clock."""

    def make(slowness: Callable[[float], float]) -> Machine:
        machine = Machine(slowness)
        monkeypatch.setattr(pace, "time", machine)
        return machine

    return make


def test_on_a_quiet_machine_a_time_is_a_time(make_machine):
    machine = make_machine(lambda now_s: 1.0)
    watch = Pace(machine.kernel(0.001))
    begin_s = machine.now_s
    assert watch.measure_ms(machine.kernel(0.0004), [()]) == pytest.approx((0.4, 1.0))
    assert machine.now_s - begin_s < 0.1


def test_what_a_neighbour_slows_does_not_count(make_machine):
    """It takes 80 of every 100 ms, and slows this kernel more than the reference."""
    machine = make_machine(lambda now_s: 1.0 if now_s % 0.1 < 0.02 else 1.4)
    watch = Pace(machine.kernel(0.001))
    assert watch.measure_ms(machine.kernel(0.0004, suffering=2), [()]) == pytest.approx((0.4, 1.0))


def test_where_no_moment_is_good_the_better_half_counts_and_the_reference_tells(make_machine):
    machine = make_machine(lambda now_s: 1.0 if now_s < 0.5 else 1.5)
    watch = Pace(machine.kernel(0.001))
    assert machine.now_s > 0.5
    for most_s in (0.7, 0.2):  # the second kernel does not wait for what did not come
        begin_s = machine.now_s
        assert watch.measure_ms(machine.kernel(0.0004), [()]) == pytest.approx((0.6, 1.5))
        assert machine.now_s - begin_s < most_s


def test_argument_sets_take_turns(make_machine):
    machine = make_machine(lambda now_s: 1.0)
    run, seen = machine.kernel(0.0004), []

    def kernel(argument: int) -> None:
        seen.append(argument)
        run()

    Pace(machine.kernel(0.001)).measure_ms(kernel, [[1], [2], [3]])
    assert seen[:6] == [1, 2, 3, 1, 2, 3]
