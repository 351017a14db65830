"""What `tvm-sparse what-if` refuses before any work, and how flags and a grid file meet."""

from __future__ import annotations

import sys

import pytest

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sparsities: [0.5]\n", "unknown keys sparsities"),
        ("sparsity: [2]\n", "sparsity 2 given: it is a fraction"),
        ("seq_len: []\n", "no seq_len given: the grid is empty"),
    ],
)
def test_a_wrong_grid_file_is_refused_in_one_line(invoke, tmp_path, text, message):
    path = tmp_path / "grid.yaml"
    path.write_text(text)
    result = invoke("what-if", "bert-mini", "--grid", str(path), "--dry-run")
    assert result.code == 2
    assert message in result.err
    assert len(result.err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--price-per-core-hour", "0"), "per_core_hour 0 given: it must be a number over 0"),
        (("--requests-per-day", "nan"), "requests_per_day nan given"),
        (("--against", "tensorrt"), "engine 'tensorrt' given"),
        (("--no-fidelity", "--fidelity-method", "wanda"), "--no-fidelity given with"),
        (("--markdown", "no/such/file.md"), "no/such"),
    ],
)
def test_wrong_flags_are_refused_in_one_line_before_any_work(invoke, cache_dir, flags, message):
    result = invoke("what-if", "bert-mini", "--weights", "random", *flags)
    assert result.code == 2
    assert message in result.err
    assert not cache_dir.exists()


def test_a_report_that_cannot_be_drawn_is_refused_before_any_work(
    invoke, tmp_path, cache_dir, monkeypatch
):
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    result = invoke("what-if", "bert-mini", "--weights", "random", "-o", str(tmp_path / "study"))
    assert result.code != 0
    assert "pip install 'tvm_sparse[report]'" in result.err
    assert len(result.err.strip().splitlines()) == 1
    assert not cache_dir.exists()


def test_flags_replace_the_lists_of_a_file(invoke, tmp_path, cache_dir):
    path = tmp_path / "grid.yaml"
    path.write_text("sparsity: [0.5, 0.6, 0.7]\nblock_shape: [4x1, 16x1]\nthreads: 1\n")
    flags = ("--grid", str(path), "--sparsity", "0.9", "--dry-run", "--weights", "random")
    result = invoke("what-if", "bert-mini", *flags)
    assert (result.code, result.out.splitlines()[0][:30]) == (0, "plan: 2 points: 1 sparsity x 2")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--block", "4by1"), "block shape '4by1' given"),
        (("--sparsity", "0.5,95"), "sparsity 95 given"),
        (("--threads", "4096"), "threads 4096 given: use 1 to"),
        (("--sparsity", ","), "the grid is empty"),
        (("--seq-len", "100000"), "100000"),
        (("--predict", "--measure"), "exclude each other"),
        (("--target-latency-ms", "0"), "over 0"),
        (("--block", "5x1", "--predict", "--time", "0.1"), "block 5x1 given, which divides none"),
    ],
)
def test_wrong_use_is_one_line_and_code_2(invoke, tiny, flags, message):
    grid = {"--seq-len": 16, "--threads": 1, "--block": "4x1", "--sparsity": "0.5,0.9"}
    small = [part for pair in grid.items() if pair[0] not in flags for part in pair]
    result = invoke("what-if", tiny.directory, *small, "--cache-dir", tiny.cache_dir, "-q", *flags)
    assert result.code == 2, result.err
    assert message in result.err
    assert "Traceback" not in result.err
