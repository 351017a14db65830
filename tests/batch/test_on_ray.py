"""Jobs on a cluster: what dies is made up for, and what cannot work is refused before it starts."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import Sandbox

import tvm_sparse
from tvm_sparse.batch.run import run_batch
from tvm_sparse.batch.spec import BatchSpec
from tvm_sparse.errors import ConfigError
from tvm_sparse.records.checksum import checksum

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

ROWS = 30_000
ACTOR = b"ray::MapWorker"


class TestCluster:
    """Two machines of one core each, simulated; the second can be taken away."""

    __test__ = False

    def __init__(self, sandbox: Sandbox) -> None:
        from ray.cluster_utils import Cluster

        small = {"num_cpus": 1, "object_store_memory": 80 << 20}
        self.sandbox = sandbox
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        head = {**small, "include_dashboard": False, "ray_client_server_port": port}
        self.cluster = Cluster(initialize_head=True, head_node_args=head)
        self.client_address = f"ray://127.0.0.1:{port}"
        self.second = self.cluster.add_node(**small)
        self.address: str = self.cluster.address

    def actors(self) -> list[int]:
        """Return the processes of actors that are at work."""
        found = []
        for entry in Path("/proc").iterdir():
            try:
                cmdline = (entry / "cmdline").read_bytes()
                ours = f"COMMAND_LINE_TEST={self.sandbox.mark}".encode()
                if cmdline.startswith(ACTOR) and ours in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
        return found

    def wait_for_end(self) -> None:
        """Wait until no actor is left."""
        stop = time.monotonic() + 60
        while self.actors():
            assert time.monotonic() < stop, "actors outlive their job"
            time.sleep(0.1)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestCluster]:
    sandbox = Sandbox(tmp_path_factory.mktemp("ray"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COMMAND_LINE_TEST", sandbox.mark)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        made = TestCluster(sandbox)
        yield made
        made.cluster.shutdown()


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "texts.txt"
    path.write_text("".join(f"the ferry {i}{' a' * (i % 4)}\n" for i in range(ROWS)))
    return path


@pytest.fixture
def spec(cluster: TestCluster, texts: Path, builds: dict[str, str]) -> BatchSpec:
    """A job of some forty parts."""
    output = str(texts.parent / "out")
    artifact = builds["feature-extraction"]
    return BatchSpec((str(texts),), output, artifact, address=cluster.address, parts=400)


def names(directory: str) -> list[str]:
    """Return the names of all rows that were written."""
    return [
        json.loads(line)["row"]
        for path in sorted(Path(directory).glob("part-*"))
        for line in path.read_text().splitlines()
    ]


def once(act: Callable[[], Any]) -> Callable[[Any], None]:
    """Return what acts when it is called the first time."""
    acts = [act]
    return lambda _now: acts.pop()() if acts else None


def test_an_actor_that_is_killed_is_made_up_for(cluster, spec, texts):
    killed = []

    def kill():
        killed.append(cluster.actors()[0])
        os.kill(killed[0], signal.SIGKILL)

    record = run_batch(spec, tell=once(kill))
    assert names(spec.output) == [f"{texts}:{i + 1}" for i in range(ROWS)]
    assert (record.rows_in, record.rows_out, record.errors) == (ROWS, ROWS, 0)
    assert (record.nodes, record.actors) == (2, 2)
    assert len(killed) == 1
    assert all(worker.private_bytes > 0 for worker in record.workers)
    cluster.wait_for_end()


def test_a_driver_that_is_killed_goes_on(cluster, spec, texts):
    command = ("batch", texts, "-o", spec.output, "--model", spec.artifact, "--parts", "400")
    for number, code in ((signal.SIGKILL, -9), (signal.SIGINT, 130)):
        more = ("--resume",) if code == 130 else ()
        before = len(names(spec.output))
        process = cluster.sandbox.popen(*command, "--address", cluster.address, *more)
        while process.poll() is None and len(names(spec.output)) <= before + 1000:
            time.sleep(0.05)
        os.killpg(process.pid, number)
        out, err = process.communicate(timeout=60)
        assert process.returncode == code, out + err
        assert "Traceback" not in err
        cluster.wait_for_end()
    record = run_batch(replace(spec, resume=True))
    assert 2000 < record.resumed_rows < ROWS
    assert names(spec.output) == [f"{texts}:{i + 1}" for i in range(ROWS)]
    assert not list(Path(spec.output).glob(".*"))


def test_what_cannot_work_is_refused_before_it_starts(cluster, spec, tmp_path):
    with pytest.raises(ConfigError) as caught:
        run_batch(replace(spec, actors=3))
    assert str(caught.value).startswith(
        "3 actors of 1 core asked for, there is room for 2 (cores that Ray gives out: 1 on "
    )
    with pytest.raises(ConfigError, match="1 actor of 2 cores asked for, there is room for 0"):
        run_batch(replace(spec, threads_per_actor=2, output=str(tmp_path / "b")))
    other = shutil.copytree(spec.artifact, tmp_path / "other")
    document = json.loads((other / "metadata.json").read_text())
    document["required_features"] = ["of_another_cpu"]
    document["checksum"] = checksum(document)
    (other / "metadata.json").write_text(json.dumps(document))
    with pytest.raises(ConfigError, match=r"^node [\d.]+: .*of_another_cpu"):
        run_batch(replace(spec, artifact=str(other), output=str(tmp_path / "c")))
    with pytest.raises(ConfigError, match=r"^no Ray at 127\.0\.0\.1:1: "):
        run_batch(replace(spec, address="127.0.0.1:1", output=str(tmp_path / "d")))


def test_a_client_drives_a_job_from_afar(cluster, spec, texts):
    texts.write_text("the ferry\n\xff\n" * 20, encoding="latin-1")
    record = run_batch(replace(spec, address=cluster.client_address))
    assert (record.rows_in, record.rows_out, record.errors) == (40, 20, 20)


def test_the_predictor_is_one_of_ray_data(cluster, builds):
    import ray

    from tvm_sparse.batch import Predictor
    from tvm_sparse.batch.cluster import quiet_data, ray_running

    texts = [f"the ferry {i}" for i in range(20)]
    with ray_running(cluster.address):
        quiet_data()
        dataset = ray.data.from_items([{"text": text} for text in texts]).map_batches(
            Predictor,
            fn_constructor_kwargs={"artifact": builds["feature-extraction"]},
            compute=ray.data.ActorPoolStrategy(size=1),
            num_cpus=1,
        )
        rows = {row["text"]: row["prediction"] for row in dataset.iter_rows()}
    wanted = tvm_sparse.load(builds["feature-extraction"]).encode(texts)
    np.testing.assert_allclose([rows[text] for text in texts], wanted, atol=1e-6)


# The last: it takes a machine away.
def test_a_machine_that_is_lost_is_made_up_for(cluster, spec, texts):
    record = run_batch(spec, tell=once(lambda: cluster.cluster.remove_node(cluster.second)))
    assert names(spec.output) == [f"{texts}:{i + 1}" for i in range(ROWS)]
    assert (record.rows_in, record.nodes, record.actors) == (ROWS, 2, 2)
