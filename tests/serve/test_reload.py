"""A server that follows its files: artifacts and configuration that change under it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from serving_process import Asking, Serving, serving, write_config
from tiny_artifact import edit_metadata

from tvm_sparse.runtime.metadata import LIBRARY_FILE
from tvm_sparse.serve.snapshots import Snapshots

pytestmark = pytest.mark.e2e

TEXTS = {"inputs": "the red bird"}
CLASSES = {"sequences": "the red bird"}


def metric(one: Serving, name: str, model: str = "") -> float:
    page = one.ask("/metrics")[1]
    samples = [s for family in text_string_to_metric_families(page) for s in family.samples]
    wanted = {"model": model, "version": "1"} if model else {}
    (found,) = (s.value for s in samples if s.name == name and s.labels == wanted)
    return found


def rows(one: Serving) -> dict[str, Any]:
    return {row["name"]: row for row in one.ask("/v2/repository/index", {})[1]}


def test_files_that_change(tmp_path, artifacts) -> None:
    build = tmp_path / "build"
    shutil.copytree(artifacts["encoder"], build)
    kept = {"name": "kept", "model": str(artifacts["encoder"])}
    config = {"control": {"watch": True}, "models": [kept, {"name": "m", "model": "build"}]}
    with serving(tmp_path, config) as one, Asking(one, "/predict/kept", TEXTS) as asking:
        first = one.ask("/predict/m", TEXTS)
        assert first[0] == 200

        # Written over in place, with a file that is no library: what is mapped is a copy.
        (build / LIBRARY_FILE).write_bytes(b"nothing")
        one.said("m: not reloaded, the old one is still served", LIBRARY_FILE)
        assert one.ask("/predict/m", TEXTS) == first
        assert metric(one, "tvm_sparse_reload_failure_total", "m") == 1
        assert rows(one)["m"]["state"] == "READY"
        assert LIBRARY_FILE in rows(one)["m"]["reason"]

        # In place again, by a whole artifact.
        shutil.copytree(artifacts["classes"], build, dirs_exist_ok=True)
        one.said("reloaded: m")
        assert one.ask("/predict/m", TEXTS)[0] == 400
        assert one.ask("/predict/m", CLASSES)[0] == 200
        assert metric(one, "tvm_sparse_reload_success_total", "m") == 1
        assert rows(one)["m"]["reason"] == ""
        # What was named, and not what was loaded.
        named = {row["name"]: row["model"] for row in one.ask("/config")[1]["models"]}
        assert named == {"kept": str(artifacts["encoder"]), "m": "build"}

        # As `export -o` does it.
        shutil.copytree(artifacts["encoder"], tmp_path / "new")
        build.rename(tmp_path / "old")
        (tmp_path / "new").rename(build)
        one.said("reloaded: m", count=2)
        assert one.ask("/predict/m", TEXTS) == first

        # The configuration: broken, with a broken model, and whole.
        (tmp_path / "serve.yaml").write_text("models: [")
        one.said("not reloaded, what was served still is", "is no YAML file")
        other = {"name": "other", "model": str(artifacts["classes"]), "route": "m"}
        write_config(tmp_path, {**config, "models": [kept, other, {"name": "n", "model": "no"}]})
        one.said("not reloaded, what was served still is", "no artifact directory no")
        assert metric(one, "tvm_sparse_config_reload_failure_total") == 2
        assert one.ask("/predict/m", TEXTS) == first
        write_config(tmp_path, {**config, "cores": None, "models": [kept, other]})
        one.said("loaded: other")
        one.said("cores has changed, which takes a restart")
        assert one.ask("/predict/m", CLASSES)[0] == 200
        assert one.ask("/v2/models/m")[0] == 404
        assert set(rows(one)) == {"kept", "kept-tensors", "other", "other-tensors"}
    assert asking.answers > 10
    assert asking.faults == []
    assert not list((tmp_path / "tmp").glob("tvm_sparse-*"))


def test_an_artifact_that_lists_files_outside_is_not_copied(tmp_path, artifacts) -> None:
    build = tmp_path / "build"
    shutil.copytree(artifacts["encoder"], build)
    edit_metadata(build, files={"../x": {"sha256": "", "size_bytes": 1}})
    (tmp_path / "x").write_text("x")
    store = tmp_path / "store"
    store.mkdir()
    with pytest.raises(Exception, match=r"lists \.\./x: no file within it"):
        Snapshots(store).keep(str(build))
    assert list(store.iterdir()) == []


def test_copies_are_made_once_and_removed(tmp_path: Path, artifacts) -> None:
    snapshots = Snapshots(tmp_path)
    first = snapshots.keep(str(artifacts["encoder"]))
    assert snapshots.keep(str(artifacts["encoder"])) == first
    second = snapshots.keep(str(artifacts["classes"]))
    snapshots.forget_others([second])
    assert [str(one) for one in tmp_path.iterdir()] == [second]
    assert snapshots.keep(str(artifacts["encoder"])) not in (first, second)
