"""Whether the system says that tasks had to wait for a core."""

from __future__ import annotations

import pytest

from tvm_sparse.tuning import contention
from tvm_sparse.tuning.contention import Contention

pytestmark = pytest.mark.unit


@pytest.fixture
def pressure(tmp_path, monkeypatch):
    """Return a function that sets the seconds waited, and the clock."""
    path = tmp_path / "cpu"

    def at(clock_s: float, waited_s: float):
        monkeypatch.setattr(contention.time, "monotonic", lambda: clock_s)
        total = int(waited_s * 1e6)
        path.write_text(f"some avg10=1.00 avg60=0.00 avg300=0.00 total={total}\nfull total=9\n")
        return path

    return at


def test_the_share_of_waiting_is_told(pressure):
    watch = Contention(pressure(100.0, 7.0))
    pressure(110.0, 8.0)
    assert watch.share == pytest.approx(0.1)
    assert not watch.is_high
    pressure(110.0, 12.0)
    assert watch.share == pytest.approx(0.5)
    assert watch.is_high


@pytest.mark.parametrize("content", [None, "", "nothing of the kind"])
def test_a_system_that_does_not_tell_is_taken_to_be_quiet(tmp_path, content):
    path = tmp_path / "cpu"
    if content is not None:
        path.write_text(content)
    assert Contention(path).share == 0
