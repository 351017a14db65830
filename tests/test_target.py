"""What code is generated for, and what of it this machine has to be able to do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tvm_sparse.errors import ConfigError
from tvm_sparse.host import EXTENSIONS, available_cores, detect_host
from tvm_sparse.target import check_threads, resolve_target

pytestmark = pytest.mark.unit

FOREIGN = "x86-64-v2" if detect_host().isa == "aarch64" else "aarch64"


def test_native_is_this_machine():
    target = resolve_target()
    assert (target.isa, target.runs_here) == (detect_host().isa, True)
    assert not resolve_target(FOREIGN).runs_here


@pytest.mark.parametrize(("threads", "expected"), [(1, 2), (2, 2), (3, 4), (64, 64), (65, 128)])
def test_work_is_cut_up_for_a_power_of_two(threads, expected):
    assert resolve_target("aarch64", threads).threads == expected


@pytest.mark.parametrize(("dtype", "lanes"), [("float32", 8), ("int8", 32), ("bfloat16", 16)])
def test_a_register_holds_more_of_smaller_values(dtype, lanes):
    assert resolve_target("x86-64-v3").lanes(dtype) == lanes


def test_products_of_integers_are_asked_for_by_name():
    plain, extended = resolve_target("x86-64-v4"), resolve_target("x86-64-v4-vnni")
    assert extended.isa == plain.isa == "x86-64-v4"
    assert set(extended.required_features) - set(plain.required_features) == {"avx512_vnni"}
    assert extended.without_extensions() == plain
    tiled = resolve_target("x86-64-v4-amx")
    assert {*tiled.required_features} - {*extended.required_features} == {"amx_tile", "amx_int8"}
    assert set(resolve_target().extensions) <= detect_host().features


def test_only_what_runs_here_is_held_to_the_cores_of_this_machine():
    many = available_cores() + 1
    check_threads(FOREIGN, many)
    check_threads("native", available_cores())
    with pytest.raises(ConfigError, match=f"threads {many} given: use 1 to {many - 1} on this"):
        check_threads("native", many)


@pytest.mark.parametrize("flags", EXTENSIONS.values(), ids=str)
def test_native_takes_all_that_this_machine_may_use(flags, monkeypatch):
    host = replace(detect_host(), isa="x86-64-v4", features=frozenset({*flags, "avx_vnni"}))
    monkeypatch.setattr("tvm_sparse.target.detect_host", lambda: host)
    wanted = () if flags == EXTENSIONS["x86-64-v3-vnni"] else flags
    assert resolve_target().extensions == wanted


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (frozenset(), "/proc/cpuinfo does not say what this CPU can do"),
        (frozenset({"sse2"}), "supports none of them"),
    ],
)
def test_a_cpu_without_a_level_is_told_so(features, message, monkeypatch):
    host = replace(detect_host(), isa="unknown", features=features)
    monkeypatch.setattr("tvm_sparse.target.detect_host", lambda: host)
    with pytest.raises(ConfigError, match=message):
        resolve_target()
