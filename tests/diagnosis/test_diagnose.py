"""doctor: what is missing, limited or broken is told with what to do about it."""

from __future__ import annotations

import os
from dataclasses import replace
from importlib.metadata import PackageNotFoundError

import pytest

from tvm_sparse.dependencies import FRONTEND, check_dependencies
from tvm_sparse.diagnosis import diagnose as diagnosing
from tvm_sparse.diagnosis import machine, places, software
from tvm_sparse.errors import DependencyError
from tvm_sparse.host import detect_host

pytestmark = pytest.mark.unit


@pytest.fixture
def finding(monkeypatch, tmp_path):
    """Diagnose, and return the one finding about a subject."""
    monkeypatch.setenv("TVM_SPARSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("TVM_NUM_THREADS", raising=False)

    def find(subject: str):
        (found,) = (f for f in diagnosing.diagnose().findings if f.subject == subject)
        return found

    return find


def test_a_missing_extra_is_a_note_with_the_pip_command(finding, monkeypatch):
    def version(name: str) -> str:
        raise PackageNotFoundError(name)

    def check(requirements) -> None:
        if FRONTEND[0] in requirements:
            check_dependencies(requirements, version)

    monkeypatch.setattr(software, "check_dependencies", check)
    found = finding("extra tensorflow")
    assert (found.state, found.advice) == ("note", "python -m pip install 'tvm_sparse[tensorflow]'")
    assert found.found.startswith("tensorflow, tf-keras, transformers, huggingface-hub, ")


def test_a_runtime_that_does_not_load_is_broken(finding, monkeypatch):
    def load() -> None:
        raise DependencyError("TVM's runtime library cannot be loaded: no such symbol")

    monkeypatch.setattr(software, "load_tvm_ffi", load)
    assert finding("runtime").state == "broken"


def test_what_the_system_refuses_is_a_note(monkeypatch):
    host = replace(detect_host(), isa="x86-64-v4", refused=frozenset({"amx_int8"}))
    found = machine.look_at_cpu(host)
    assert (found.state, found.found.rpartition(", but ")[2]) == (
        "note",
        "the system does not allow amx_int8",
    )


def test_without_a_linker_builds_cannot_be_made(finding, monkeypatch):
    monkeypatch.setattr(software, "find_linker", lambda isa: None)
    found = finding("linker")
    assert (found.state, found.advice[:11]) == ("note", "install g++")


@pytest.mark.parametrize(
    ("quota", "cores", "advice"),
    [
        (None, 4, ""),
        (4.0, 4, ""),
        (1.5, 2, "all threads stop together when it is spent: give --threads 1"),
        (0.5, 1, "every run is stopped when it is spent: give the container a whole core"),
    ],
)
def test_a_quota_that_stops_threads_is_told(quota, cores, advice, finding, monkeypatch):
    monkeypatch.setattr(machine, "cpu_quota", lambda: quota)
    monkeypatch.setattr(machine, "available_cores", lambda: cores)
    assert finding("threads").advice == advice


def test_fewer_threads_by_a_variable_are_told(finding, monkeypatch):
    monkeypatch.setattr(machine, "available_cores", lambda: 4)
    monkeypatch.setenv("TVM_NUM_THREADS", "1")
    assert finding("threads").advice == "unset it to use all of them"
    assert "TVM_NUM_THREADS=1" in finding("environment").found


def test_little_memory_and_a_busy_machine_are_told(finding, monkeypatch):
    monkeypatch.setattr(machine, "memory_bytes", lambda: 1 << 30)
    monkeypatch.setattr(os, "getloadavg", lambda: (99.0, 0.0, 0.0))
    assert finding("memory").state == finding("load").state == "note"


def test_a_cache_that_cannot_be_written_is_broken(finding, monkeypatch):
    monkeypatch.setattr(places.os, "access", lambda path, mode: False)
    found = finding("cache")
    assert (found.state, found.advice) == ("broken", "name another with --cache-dir")
