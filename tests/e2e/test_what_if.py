"""A whole study of a very small model: on the command line, twice, and from Python."""

from __future__ import annotations

import json
import signal
import time

import pytest
from command_line import Sandbox, write_config

import tvm_sparse
from tvm_sparse.cache.store import Cache
from tvm_sparse.config.bench import BenchSpec
from tvm_sparse.whatif.study import load_study

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SMALL = ("--seq-len", "16", "--threads", "1", "--block", "4x1", "--sparsity", "0.5,0.9")
SHORT = ("--time", "0.1", "--against", "none")


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory):
    return Sandbox(tmp_path_factory.mktemp("what-if"))


@pytest.fixture(scope="module")
def model(sandbox):
    # Of few shapes: every product that differs from others is timed.
    return write_config(sandbox.folder / "tiny", intermediate_size=32)


@pytest.fixture(scope="module")
def study(sandbox, model):
    """Measure two points, and return what was printed and written."""
    path = sandbox.folder / "study.json"
    flags = (*SMALL, *SHORT, "--cache-dir", sandbox.folder / "cache")
    target = ("--target-latency-ms", "1000")
    csv, markdown = sandbox.folder / "points.csv", sandbox.folder / "study.md"
    files = ("--json", path, "--csv", csv, "--markdown", markdown)
    done = sandbox.run("what-if", model, *flags, "--measure", *target, *files)
    assert done.returncode == 0, done.stderr
    return done, json.loads(path.read_text()), csv.read_text()


def test_the_plan_and_its_cost_come_before_the_work(study):
    lines = study[0].stderr.splitlines()
    plan = next(i for i, line in enumerate(lines) if line.startswith("plan: 2 points"))
    assert lines[plan + 1].startswith("cost: 1 import, 3 builds (1 dense, 2 sparse)")
    assert plan < next(i for i, line in enumerate(lines) if "measuring point 1 of 2" in line)


def test_every_point_is_predicted_and_measured(study):
    _, document, csv = study
    assert [p["point"]["sparsity"] for p in document["points"]] == [0.5, 0.9]
    for point in document["points"]:
        assert point["predicted"]["latency_ms"] > 0
        assert point["measured"]["latency_ms"] > 0
        assert point["measured"]["sparse_flops_share"] > 0.8
        # What the cost model counts is what the build holds.
        assert point["predicted"]["weights_bytes"] == pytest.approx(
            point["measured"]["weights_bytes"], rel=0.02
        )
    dense, sparse = (document["settings"][0]["weights_bytes"], document["points"][1])
    assert sparse["predicted"]["weights_bytes"] < dense
    assert len(csv.splitlines()) == 1 + 1 + 2


def test_the_answers_are_printed(sandbox, study):
    done, document, _ = study
    for answer in document["answers"]:
        assert answer["text"] in done.stdout
    topics = {answer["topic"] for answer in document["answers"]}
    assert topics >= {"break_even", "target", "prediction", "accuracy"}
    assert "already meets 1e+03 ms" in done.stdout
    verdict = next(a["text"] for a in document["answers"] if a["topic"] == "verdict")
    assert f"**{verdict}**" in (sandbox.folder / "study.md").read_text()


def test_the_command_repeats_the_study(study, model):
    command = study[1]["command"]
    assert command.startswith(f"tvm-sparse what-if {model} --sparsity 0.5,0.9")
    assert "--measure" in command


def test_a_second_study_reuses_points_and_imports_no_tensorflow(sandbox, model, study):
    flags = (*SMALL, *SHORT, "--cache-dir", sandbox.folder / "cache")
    poison = sandbox.poisoned("tensorflow", "transformers")
    done = sandbox.run("what-if", model, *flags, "--measure", **poison)
    assert done.returncode == 0, done.stderr
    assert "2 of 2 points taken from the cache" in done.stderr
    assert "timing" not in done.stderr
    assert sandbox.imported_poison() == ""


def test_sparse_builds_do_not_stay(sandbox, study):
    builds = [entry.manifest["build"] for entry in Cache(sandbox.folder / "cache").ls("lib")]
    assert builds == ["dense"]


def test_one_build_of_any_shape_is_measured_at_several(sandbox, model, study):
    path = sandbox.folder / "open.json"
    shapes = ("--seq-len", "1:32", "--batch", "1:4", "--shape", "1x16,4x32")
    flags = ("--threads", "1", "--block", "4x1", "--sparsity", "0.9", "--measure", *SHORT)
    flags += ("--include", "*intermediate*")  # kernels of one layer are timed
    cache = sandbox.folder / "cache"
    done = sandbox.run("what-if", model, *shapes, *flags, "--cache-dir", cache, "--json", path)
    assert done.returncode == 0, done.stderr
    assert "cost: 1 import, 2 builds (1 dense, 1 sparse)" in done.stderr
    found = load_study(path)
    assert [(s.setting.batch, s.setting.seq_len) for s in found.settings] == [(1, 16), (4, 32)]
    assert {s.setting.limits for s in found.settings} == {(4, 32)}
    assert all(point.measured is not None for point in found.points)
    # One build: its weights are the same at all shapes, and as predicted.
    assert len({point.measured.weights_bytes for point in found.points}) == 1
    for point in found.points:
        assert point.predicted.weights_bytes == pytest.approx(point.weights_bytes, rel=0.02)
    assert "one build for any shape up to 4x32" in done.stdout
    assert "one build for batch 1:4 and length 1:32" in done.stdout.lower()
    again = ("--shape 1x16,4x32", "--block 4x1")
    assert all(words in found.command for words in again)
    assert [entry.manifest["build"] for entry in Cache(cache).ls("lib")] == ["dense", "dense"]


def test_a_dry_run_stops_at_the_plan(sandbox, model):
    empty = sandbox.folder / "empty"
    done = sandbox.run("what-if", model, *SMALL, "--dry-run", "--cache-dir", empty)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("plan: 2 points")
    assert "MB of disk" in done.stdout
    assert Cache(empty).ls() == []


def test_an_interrupt_keeps_what_was_measured(sandbox, model, study):
    flags = (*SMALL[:4], "--block", "4x1", "--sparsity", "0.5,0.7,0.8", "--measure")
    process = sandbox.popen(
        "what-if", model, *flags, *SHORT, "--cache-dir", sandbox.folder / "cache"
    )
    seen = []
    with process:
        for line in process.stderr:
            seen.append(line)
            if "measuring point 2 of 2" in line:
                time.sleep(0.2)
                process.send_signal(signal.SIGINT)
                break
        seen += process.stderr.readlines()
    assert process.returncode == 130, "".join(seen)
    assert any("2 of 3 points are kept" in line for line in seen)
    done = sandbox.run("what-if", model, *flags, *SHORT, "--cache-dir", sandbox.folder / "cache")
    assert done.returncode == 0, done.stderr
    assert "measuring point 1 of 1" in done.stderr


def test_the_library_answers_without_measuring(sandbox, model, study):
    lines: list[str] = []
    found = tvm_sparse.what_if(
        str(model),
        mode="predict",
        bench=BenchSpec(time_s=0.1, warmup_s=0.025),
        cache_dir=sandbox.folder / "cache",
        progress=lines.append,
        seq_lens=(16,),
        threads=(1,),
        sparsities=(0.0, 0.5, 0.95),
        block_shapes=((4, 1),),
    )
    assert [r.measured is not None for r in found.points] == [False, True, False]
    assert not any("measuring point" in line for line in lines)
    times = [result.predicted.latency_ms for result in found.points]
    assert times == sorted(times, reverse=True)
