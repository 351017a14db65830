"""`tvm-sparse run` on the smallest model, in this process."""

from __future__ import annotations

import json

import pytest
from command_line import QUICK

from tvm_sparse.bench.record import load_record
from tvm_sparse.host import detect_host

pytestmark = pytest.mark.e2e


def test_quiet_prints_the_result_only(invoke, tiny) -> None:
    result = invoke("run", *tiny.flags, *QUICK, "-q")
    assert (result.code, result.err) == (0, "")
    for text in (
        "latency median (ms)",
        "6 of 7 layers run sparse (6 eligible)",
        "weights: seeded random weights (seed 0): asked for",
        "sparsity: 95.0% of all 1x1 blocks are zero, at random (seed 0)",
        "machine: ",
        "1 thread on",
    ):
        assert text in result.out
    assert "zero blocks" not in result.out


def test_progress_is_on_stderr(invoke, tiny) -> None:
    result = invoke("run", *tiny.flags, *QUICK)
    assert result.code == 0
    lines = result.err.splitlines()
    for step in ("starting the compiler", "making the weights sparse", "comparing sparse with"):
        assert any(line.startswith(step) for line in lines)
    assert lines[-1] == "measuring dense and sparse"
    assert not any(line in result.out for line in lines)


@pytest.mark.skipif(detect_host().isa == "aarch64", reason="no products of integers there")
def test_four_builds_with_their_errors(invoke, tiny, tmp_path) -> None:
    path = tmp_path / "out.json"
    flags = ("--block", "4x4", "--threshold", "0.5", "--quantize", "int8", "--int8-error", "0.5")
    result = invoke("run", *tiny.flags, *QUICK, *flags, "-v", "--json", path)
    assert result.code == 0, result.err
    builds = json.loads(path.read_text())["builds"]
    assert list(builds) == ["dense", "sparse", "int8", "int8-sparse"]
    errors = {
        name: next(iter(build["errors"].values()))["relative_l2"]
        for name, build in builds.items()
        if name != "dense"
    }
    assert errors["sparse"] < errors["int8"] < 0.1
    assert errors["sparse"] < errors["int8-sparse"] < 0.1
    assert "error of last_hidden_state" in result.out
    assert "layers in INT8" in result.out
    alone = invoke("run", *tiny.flags, "--calibration", "texts.txt")
    assert alone.code == 2
    assert "--calibration given without --quantize" in alone.err
    absent = invoke("run", "--model", "nowhere", "--quantize", "int8", "--calibration", "texts.txt")
    assert absent.code == 2
    assert absent.err == "error: texts.txt cannot be read: No such file or directory\n"


def test_json_holds_what_was_asked_for(invoke, tiny, tmp_path) -> None:
    path = tmp_path / "out.json"
    flags = ("--bs-r", "4", "--bs-c", "2", "--sparsity", "0.75", "--threshold", "0.6")
    result = invoke("run", *tiny.flags, *QUICK, *flags, "--seed", "0", "--json", path)
    assert result.code == 0, result.err
    document = json.loads(path.read_text())
    assert document["schema_version"] == 5
    assert document["model"]["architecture"] == "BertModel"
    assert document["weights"]["kind"] == "random"
    assert document["spec"]["model"]["seq_len"] == 16
    assert document["spec"]["compile"]["threads"] == 1
    assert document["spec"]["bench"]["iterations"] == 5
    sparsity = document["spec"]["sparsity"]
    assert (sparsity["block_shape"], sparsity["sparsity"]) == ([4, 2], 0.75)
    assert (sparsity["sparsity_threshold"], sparsity["prune"]) == (0.6, "random")
    assert set(document["builds"]) == {"dense", "sparse"}
    for build in document["builds"].values():
        assert len(build["latency_ms"]["samples"]) == build["iterations"] == 5
        assert build["latency_ms"]["median"] > 0
    assert document["builds"]["dense"]["speedup"] is None
    assert document["builds"]["sparse"]["speedup"]["ratio"] > 0
    assert document["sparse_flops_share"] > 0.8
    assert document["environment"]["threads"] == 1
    converted = [d for d in document["decisions"] if d["action"] == "sparse"]
    assert len(converted) == 6
    assert all(d["block_sparsity"] == pytest.approx(0.75, abs=0.01) for d in converted)
    check = document["check"]
    assert max(check["dense_against_tensorflow"].values()) < 1e-4
    assert max(check["sparse_against_dense"].values()) < 1e-4
    assert load_record(path).builds.keys() == document["builds"].keys()


def test_verbose_gives_the_reason_for_every_layer(invoke, tiny) -> None:
    flags = ("-v", "-q", "--bs-r", "64", "--exclude", "*query*", "--dense-only")
    result = invoke("run", *tiny.flags, *QUICK, *flags)
    assert result.code == 0, result.err
    assert "zero blocks" in result.out
    assert "dense build" in result.out
    assert "0 of 7 layers run sparse" in result.out
    result = invoke("run", *tiny.flags, *QUICK, *flags[:-1], "--sparse-only")
    assert result.code == 0, result.err
    assert "zero blocks" in result.out
    assert "N = 32 is no multiple of 64" in result.out
    assert "1 of 7 layers run sparse (1 eligible)" in result.out


def test_one_build_alone(invoke, tiny, tmp_path) -> None:
    for name in ("dense", "sparse"):
        path = tmp_path / f"{name}.json"
        result = invoke("run", *tiny.flags, *QUICK, "-q", f"--{name}-only", "--json", path)
        assert result.code == 0, result.err
        assert f"The {name} build takes" in result.out
        record = load_record(path)
        assert list(record.builds) == [name]
        assert all(build.speedup is None for build in record.builds.values())


def test_profile_names_kernels(invoke, tiny) -> None:
    result = invoke("run", *tiny.flags, *QUICK, "-q", "--profile")
    assert result.code == 0, result.err
    assert "Time per layer" in result.out
    assert "sparse_dense_" in result.out
    assert "packed_dense_" in result.out


def test_dump_ir_has_a_directory_per_build(invoke, tiny, tmp_path) -> None:
    result = invoke("run", *tiny.flags, *QUICK, "-q", "--dump-ir", tmp_path / "ir")
    assert result.code == 0, result.err
    dumps = {build: sorted((tmp_path / "ir" / build).iterdir()) for build in ("dense", "sparse")}
    assert dumps["dense"][0].name == "01_join_weights.txt"
    sparse_text = "".join(path.read_text() for path in dumps["sparse"])
    assert "tvm_sparse.sparse_dense" in sparse_text
    assert "tvm_sparse.sparse_dense" not in "".join(path.read_text() for path in dumps["dense"])


def test_check_fails_at_impossible_tolerances(invoke, tiny) -> None:
    # A sparsity that no other test uses: a build is checked when it is made.
    flags = ("--sparsity", "0.55", "--atol", "0", "--rtol", "0")
    result = invoke("run", *tiny.flags, *QUICK, "-q", *flags)
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("error: the ")
    assert "(atol 0, rtol 0)" in result.err
    assert result.err.count("\n") == 1
