"""Whether the system says that tasks had to wait for a core."""

from __future__ import annotations

import pytest

from tvm_sparse.bench import contention
from tvm_sparse.bench.contention import Contention

pytestmark = pytest.mark.unit


@pytest.fixture
def proc(tmp_path, monkeypatch):
    """Return a function that sets the clock, the seconds waited, and those of threads."""

    def at(clock_s: float, waited_s: float | None = None, threads: dict[str, float] | None = None):
        monkeypatch.setattr(contention.time, "monotonic", lambda: clock_s)
        if waited_s is not None:
            (tmp_path / "pressure").mkdir(exist_ok=True)
            total = f"total={int(waited_s * 1e6)}"
            text = f"some avg10=1.00 avg60=0.00 avg300=0.00 {total}\nfull total=9\n"
            (tmp_path / "pressure" / "cpu").write_text(text)
        for name, delay_s in (threads or {}).items():
            task = tmp_path / name
            task.mkdir(parents=True, exist_ok=True)
            (task / "schedstat").write_text(f"77 {int(delay_s * 1e9)} 5\n")
        return tmp_path

    return at


def test_the_share_of_waiting_is_told(proc) -> None:
    watch = Contention(proc=proc(100.0, 7.0))
    proc(110.0, 8.0)
    assert watch.share == pytest.approx(0.1)
    assert not watch.is_high
    proc(110.0, 12.0)
    assert watch.share == pytest.approx(0.5)
    assert watch.is_high


def test_the_measured_processes_tell_whatever_others_wait_for(proc) -> None:
    """Each for its slowest thread; a thread that came later waited since it began."""
    watch = Contention([7, 8], proc(0.0, 1.0, {"7/task/7": 1.0, "7/task/9": 1.0}))
    proc(10.0, 9.0, {"7/task/7": 1.5, "7/task/9": 3.0, "8/task/8": 1.0, "6/task/6": 9.0})
    assert watch.share == pytest.approx(0.3)
    assert watch.is_high


@pytest.mark.parametrize("content", [None, "", "nothing of the kind"])
def test_a_system_that_does_not_tell_is_taken_to_be_quiet(tmp_path, content) -> None:
    for path in (tmp_path / "pressure" / "cpu", tmp_path / "7" / "task" / "7" / "schedstat"):
        if content is not None:
            path.parent.mkdir(parents=True)
            path.write_text(content)
    assert Contention([7], tmp_path).share == 0
