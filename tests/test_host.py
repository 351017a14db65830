"""This machine: how many cores a process may use, where a container limits it."""

from __future__ import annotations

import pytest

from tvm_sparse import amx, host
from tvm_sparse.errors import ConfigError
from tvm_sparse.host import available_cores, threads_here

pytestmark = pytest.mark.unit


@pytest.fixture
def root(tmp_path):
    """Make a file system in which this process is in the cgroup /pod/box."""
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("4:memory:/other\n0::/pod/box\n")
    (tmp_path / "sys/fs/cgroup/pod/box").mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize(
    ("limits", "quota"),
    [
        ({}, None),
        ({"pod/box": "max 100000"}, None),
        ({"pod/box": "150000 100000"}, 1.5),
        ({"pod": "250000 100000", "pod/box": "max 100000"}, 2.5),
        ({"pod": "100000 50000", "pod/box": "300000 100000"}, 2.0),
        # Its own root is all that a container sees.
        ({".": "50000 100000"}, 0.5),
        ({"pod/box": ""}, None),
    ],
)
def test_the_quota_is_the_least_of_all_groups_around_the_process(root, limits, quota):
    for group, text in limits.items():
        (root / "sys/fs/cgroup" / group / "cpu.max").write_text(f"{text}\n")
    assert host.cpu_quota(root) == quota


@pytest.mark.parametrize(("permitted", "refused"), [(True, set()), (False, {*amx.FLAGS})])
def test_what_the_system_refuses_is_no_feature(permitted, refused, monkeypatch):
    flags = {"avx2", *amx.FLAGS}
    monkeypatch.setattr(host, "read_cpuinfo", lambda text: ("a CPU", frozenset(flags)))
    monkeypatch.setattr(amx, "is_permitted", lambda: permitted)
    found = host.detect_host.__wrapped__()
    assert (found.features, found.refused) == (flags - refused, refused)


@pytest.mark.parametrize(
    ("name", "told"),
    [("AMD EPYC", "AMD EPYC (cpu family 25, model 17)"), ("AMD EPYC 9654", "AMD EPYC 9654")],
)
def test_a_name_without_a_number_is_told_apart_by_the_generation(name, told):
    text = f"cpu family\t: 25\nmodel\t\t: 17\nmodel name\t: {name}\nflags\t\t: avx2\n"
    assert host.read_cpuinfo(text) == (told, frozenset({"avx2"}))


def test_without_cgroups_there_is_no_quota(tmp_path):
    assert host.cpu_quota(tmp_path) is None


@pytest.mark.parametrize(("quota", "cores"), [(None, 4), (0.5, 1), (1.5, 2), (9.0, 4)])
def test_a_quota_counts_as_so_many_cores_rounded_up(monkeypatch, quota, cores):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1, 2, 3})
    monkeypatch.setattr(host, "cpu_quota", lambda: quota)
    assert available_cores() == cores


def test_threads_to_run_on_are_no_more_than_the_cores(monkeypatch):
    monkeypatch.setattr(host, "available_cores", lambda: 4)
    assert (threads_here(None), threads_here(3)) == (4, 3)
    for threads in (0, 5, "2"):
        with pytest.raises(ConfigError, match=f"threads {threads} given: use 1 to 4 on this"):
            threads_here(threads)
