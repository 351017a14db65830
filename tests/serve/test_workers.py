"""Several processes that answer at one address."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest
from command_line import Sandbox, command
from running_server import until
from serving_process import Asking, Serving, serving, write_config

from tvm_sparse.host import available_cores, shares_of_cores
from tvm_sparse.runtime.metadata import LIBRARY_FILE
from tvm_sparse.serve.statistics import ServerCounts, Statistics, counts_from, counts_to

pytestmark = pytest.mark.e2e

TEXTS = {"inputs": "the red bird"}


def counted(one: Serving, name: str) -> int:
    (row,) = one.ask(f"/v2/models/{name}/stats")[1]["model_stats"]
    return row["inference_stats"]["success"]["count"]


def children(process: int) -> set[int]:
    """The processes that one has started."""
    return set(map(int, Path(f"/proc/{process}/task/{process}/children").read_text().split()))


def mapped(process: int) -> set[str]:
    """The files of libraries of models that a process has in memory, by device and number."""
    lines = Path(f"/proc/{process}/maps").read_text().splitlines()
    return {" ".join(line.split()[3:5]) for line in lines if LIBRARY_FILE in line}


def test_workers_are_one_server(tmp_path, artifacts) -> None:
    root = artifacts["classes"].parent
    config = {
        "workers": 2,
        "cores": 2,
        "control": {"load_unload": True, "roots": [str(root)]},
        "models": [{"name": "embed", "model": str(artifacts["encoder"])}],
    }
    with serving(tmp_path, config) as one:
        first, second = (int(one.said(f"worker {n}: process").rpartition(" ")[2]) for n in range(2))
        assert [one.ask("/predict/embed", TEXTS)[0] for _ in range(30)] == [200] * 30
        assert {counted(one, "embed") for _ in range(8)} == {30}
        assert mapped(first) == mapped(second) != set()

        fields = json.dumps({"model": artifacts["classes"].name, "route": "x"})
        loading = {"parameters": {"config": fields}}
        assert one.ask("/v2/repository/models/classes/load", loading) == (200, "")
        body = {"sequences": "the red bird"}
        assert {one.ask("/predict/x", body)[0] for _ in range(12)} == {200}
        refused = [one.ask("/v2/repository/models/none/load", {}) for _ in range(4)]
        assert {status for status, _ in refused} == {400}

        with ExitStack() as stack:
            asking = [stack.enter_context(Asking(one, "/predict/x", body)) for _ in range(3)]
            (spare,) = children(one.process.pid) - {first, second}
            os.kill(first, signal.SIGKILL)
            one.said(f"worker 0: process {first} ended with signal 9")
            one.said(f"worker 0: process {spare}")
            one.said("worker 0: answers")
            assert {one.ask("/predict/x", body)[0] for _ in range(12)} == {200}
        # Those in flight when a process dies: one error each.
        assert [each.faults for each in asking if len(each.faults) > 1] == []
        assert counted(one, "embed") == 30
        assert one.ask("/v2/repository/models/classes/unload", {}) == (200, "")
        assert {one.ask("/predict/x", body)[0] for _ in range(12)} == {404}
        until(lambda: len(children(one.process.pid)) == 3)
        (another,) = children(one.process.pid) - {spare, second}
        one.process.terminate()
        one.process.wait(60)
        assert one.lines[-1] == "ended"
    assert one.process.returncode == 0
    assert [pid for pid in (second, another) if Path(f"/proc/{pid}").exists()] == []


def test_a_model_that_cannot_be_loaded_ends_all_workers(tmp_path, artifacts) -> None:
    shutil.copytree(artifacts["encoder"], tmp_path / "damaged")
    (tmp_path / "damaged" / "tokenizer.json").write_text("{}")
    models = [{"name": "a", "model": "damaged"}]
    path = write_config(tmp_path, {"workers": 2, "cores": 2, "models": models})
    done = subprocess.run(
        command("serve", path),
        env=Sandbox(tmp_path).environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=tmp_path,
    )
    assert done.returncode == 2, done
    assert done.stderr.splitlines()[-1].startswith("error: damaged/tokenizer.json")
    for process in re.findall(r"process (\d+)", done.stderr):
        assert not Path(f"/proc/{process}").exists()


def test_each_process_has_its_own_cores() -> None:
    cores = available_cores()
    shares = shares_of_cores(cores, cores)
    assert [count for count, _ in shares] == [1] * cores
    pinned = [core for _, which in shares for core in which]
    assert pinned == [] or sorted(pinned) == sorted(os.sched_getaffinity(0))
    assert shares_of_cores(cores, 1) == [(cores, [])]


def test_counts_travel_between_processes() -> None:
    one = Statistics(items=3, last_ms=5)
    one.success.add(7)
    one.failures["CANCELED"] += 2
    found = counts_from(json.loads(json.dumps(counts_to({"a": one}))))
    assert found == {"a": one}
    both = ServerCounts.merged([found, {"a": one, "b": Statistics(last_ms=9)}]).models
    assert (both["a"].items, both["a"].success.count, both["a"].success.ns) == (6, 2, 14)
    assert (both["a"].failures["CANCELED"], both["a"].last_ms, both["b"].last_ms) == (4, 5, 9)
