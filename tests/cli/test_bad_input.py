"""What cannot be done is refused in one line, with exit code 2, and as early as possible."""

from __future__ import annotations

import json
import shutil
import struct

import pytest
from command_line import write_config

from tvm_sparse.host import detect_host

pytestmark = pytest.mark.e2e

FLAGS = [
    (("--sparsity", "1.5"), "sparsity 1.5 given: it is a fraction between 0 and 1"),
    (("--sparsity", "nan"), "sparsity nan given"),
    (("--threshold", "-0.1"), "threshold -0.1 given: it is a fraction"),
    (("--threshold", "0.3", "--select", "model"), "threshold 0.3 and select model given"),
    (("--bs-r", "0"), "block shape 0x1 given: bs-r and bs-c must be at least 1"),
    (("--batch", "0"), "batch 0 given"),
    (("--seq-len", "0"), "seq-len 0 given"),
    (("--layers", "0"), "layers 0 given"),
    (("--seed", "-1"), "seed -1 given"),
    (("--batch", "1" + "0" * 400), "batch '1000"),
    (("--seed", "1" + "0" * 400), "seed 1000"),
    (("--bs-r", "1" + "0" * 400), "block shape 1000"),
    (("--block", "9" * 5000 + "x1"), "block shape '999999999999...99999999999x1' given"),
    (("--time", "inf"), "time inf given: it must be over 0 seconds, and finite"),
    (("--threads", "0"), "threads 0 given: it must be at least 1"),
    (("--threads", "100000"), "threads 100000 given: use 1 to "),
    (("--time", "-1"), "time -1 given: it must be over 0 seconds"),
    (("--iterations", "0"), "iterations 0 given"),
    (("--warmup", "-1"), "warmup -1 given"),
    (("--target", "pentium"), "target 'pentium' given: use one of native, x86-64-v2"),
]
USAGE = [
    (("--weights", "mine"), "'mine' is not one of 'auto', 'checkpoint', 'random'"),
    (("--prune", "all"), "'all' is not one of"),
    (("--select", "meassure"), "'auto', 'threshold', 'model', 'measure'. (did you mean measure?)"),
    (("--sparsity", "half"), "'half' is not a valid float"),
    (("--atol", "-1"), "-1 given: it must be 0 or more"),
    (("--rtol", "nan"), "nan given: it must be 0 or more"),
    (("--dense-only", "--sparse-only"), "--dense-only and --sparse-only exclude each other"),
    (("--time", "1", "--iterations", "1"), "--time and --iterations exclude each other"),
    (("--sparse",), "No such option"),
]


@pytest.mark.parametrize(("flags", "message"), FLAGS)
def test_values_are_refused_before_any_work(flags, message, invoke, tmp_path) -> None:
    result = invoke("run", "--model", "bert-tiny", "--cache-dir", tmp_path / "cache", *flags)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(f"error: {message}")
    assert result.err.count("\n") == 1
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(("flags", "message"), USAGE)
def test_flags_are_refused(flags, message, invoke) -> None:
    result = invoke("run", "--model", "bert-tiny", *flags)
    assert (result.code, result.out) == (2, "")
    assert message in result.err


def test_target_that_cannot_run_here(invoke) -> None:
    foreign = "x86-64-v2" if detect_host().isa == "aarch64" else "aarch64"
    result = invoke("run", "--model", "bert-tiny", "--target", foreign)
    assert result.code == 2
    assert result.err.startswith(f"error: target {foreign} given: this CPU cannot run such a build")


def last_line(result) -> str:
    """Return the error: progress may stand before it."""
    assert result.code == 2, result.err
    assert result.out == ""
    *progress, line = result.err.splitlines()
    assert not any(text.startswith("error") for text in progress)
    return line


def test_control_characters_in_a_name_are_written_out(invoke, tmp_path) -> None:
    for arguments in (
        ("run", "--model", "./x\x1b[2J"),
        ("bench", "no\x1b[2J"),
        ("run", "--weights", "\x1b[2J"),
        ("\x1b[2J",),
    ):
        result = invoke(*arguments)
        assert result.code == 2
        assert r"\x1b[2J" in result.err
        assert "\x1b" not in result.err


def test_unknown_model(invoke, tmp_path) -> None:
    result = invoke("run", "--model", "bert-minii", "--cache-dir", tmp_path / "cache")
    assert last_line(result).startswith(
        "error: model 'bert-minii' given (did you mean bert-mini?): no preset or directory"
    )


def test_missing_directory(invoke, tmp_path) -> None:
    result = invoke("run", "--model", tmp_path / "none", "--cache-dir", tmp_path / "cache")
    assert "there is no such directory" in last_line(result)


def test_directory_without_config(invoke, tmp_path) -> None:
    result = invoke("run", "--model", tmp_path, "--cache-dir", tmp_path / "cache")
    assert last_line(result).startswith(f"error: directory {tmp_path} has no config.json")


def test_truncated_safetensors(invoke, tmp_path) -> None:
    model = write_config(tmp_path / "model")
    header = json.dumps({"w": {"dtype": "F32", "shape": [9], "data_offsets": [0, 36]}}).encode()
    weights = struct.pack("<Q", len(header)) + header + bytes(20)
    (model / "model.safetensors").write_bytes(weights)
    result = invoke("run", "--model", model, "--cache-dir", tmp_path / "cache")
    assert "model.safetensors is truncated" in last_line(result)


def test_more_tokens_than_the_model_takes(invoke, tiny) -> None:
    result = invoke("run", *tiny.flags, "--seq-len", "65")
    assert last_line(result).startswith("error: seq-len 65 given:")
    assert "use --seq-len 64 or less" in last_line(result)


def test_more_layers_than_the_model_has(invoke, tiny) -> None:
    assert "layers 2 given" in last_line(invoke("run", *tiny.flags, "--layers", "2"))


def test_block_that_divides_nothing(invoke, tiny) -> None:
    line = last_line(invoke("run", *tiny.flags, "--bs-r", "5", "--bs-c", "3"))
    assert line.startswith("error: block 5x3 given, which divides none of the 6 eligible layers")


def test_pattern_that_matches_nothing(invoke, tiny) -> None:
    line = last_line(invoke("run", *tiny.flags, "--include", "decoder/*"))
    assert line.startswith("error: --include 'decoder/*' given, which matches none of the 7")


@pytest.mark.parametrize("below", ["file", "proc"])
def test_unwritable_cache(below, invoke, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    parent = tmp_path / "file" if below == "file" else "/proc"
    result = invoke("run", "--model", "bert-tiny", "--cache-dir", f"{parent}/cache")
    assert last_line(result).startswith(f"error: cache directory {parent}/cache given: {parent} ")
    assert result.err.count("\n") == 1


def test_output_paths_are_tried_before_the_work(invoke, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("dear reader")
    run = ("run", "--model", "bert-tiny", "--cache-dir", tmp_path / "cache")
    export = ("export", *run[1:])
    for arguments, message in [
        ((*run, "--json", tmp_path / "none" / "x.json"), "there is no directory"),
        ((*run, "--json", tmp_path), "that is a directory, name a file in it"),
        ((*run, "--json", "/proc/x.json"), "/proc cannot be written"),
        ((*run, "--dump-ir", tmp_path / "file" / "x"), "exists and is no directory"),
        ((*export, "-o", tmp_path / "file" / "x"), "exists and is no directory"),
        ((*export, "-o", tmp_path / "file"), "exists and is no directory"),
        ((*export, "-o", "/proc/x"), "/proc cannot be written"),
        ((*export, "-o", tmp_path / "full"), "holds other files and no artifact"),
    ]:
        result = invoke(*arguments)
        assert message in last_line(result)
        assert result.err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "full"]


def test_bench_refusals(invoke, tmp_path, tiny) -> None:
    for arguments, message in [
        (("bench", tmp_path / "none"), "no artifact directory"),
        (("bench", tmp_path), "has no metadata.json"),
        (("bench", tmp_path, "--threads", "0"), "threads 0 given"),
        (("bench", tmp_path, "--time", "0"), "time 0 given"),
        (("bench", tmp_path, "--json", tmp_path / "none" / "x"), "there is no directory"),
    ]:
        assert message in last_line(invoke(*arguments))


def test_damaged_artifact(invoke, tmp_path, tiny) -> None:
    source = next(tiny.cache_dir.glob("lib/*/artifact"))
    shutil.copytree(source, tmp_path / "artifact")
    with open(tmp_path / "artifact" / "model.so", "r+b") as library:
        library.truncate(1000)
    line = last_line(invoke("bench", tmp_path / "artifact"))
    assert "model.so has 1000 bytes instead of" in line
