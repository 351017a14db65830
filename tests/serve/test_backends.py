"""Another engine behind the same queue, tokenizer and tasks: the session here is made up."""

from __future__ import annotations

import asyncio
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from running_server import load_models

import tvm_sparse
from tvm_sparse.dependencies import ONNX, check_dependencies
from tvm_sparse.errors import ArtifactError, DependencyError
from tvm_sparse.runtime.metadata import FileEntry, file_sha256, load_metadata, save_metadata
from tvm_sparse.serve.backends import onnxruntime
from tvm_sparse.serve.config import ServeConfig
from tvm_sparse.serve.model_config import ModelConfig
from tvm_sparse.serve.repository import Repository
from tvm_sparse.serve.request import Request
from tvm_sparse.serve.tensors import of_numbers, of_texts
from tvm_sparse.text.tokens import TOKENIZER_FILE

pytestmark = pytest.mark.unit

TEXTS = ["a small bird sings", "the tree, near the old house", "fish"]


class Session:
    """Looks hidden states up in the file that is its graph."""

    def __init__(self, path: str, options: Any, providers: list[str]) -> None:
        assert (options.intra_op_num_threads, providers) == (1, ["CPUExecutionProvider"])
        self._table = np.load(path)

    def run(self, names: list[str], feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        assert names == ["last_hidden_state"]
        assert {value.dtype for value in feed.values()} == {np.dtype("int64")}
        return [self._table[feed["input_ids"]] * feed["attention_mask"][..., None]]


@pytest.fixture
def graph(artifacts: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An encoder as a graph: what its build says of every token of its vocabulary."""
    build = tvm_sparse.load(artifacts["encoder"], 1)
    rows = [
        build.run(input_ids=[[i]])["last_hidden_state"][0] for i in range(build.inputs[0].below)
    ]
    table = np.concatenate(rows)
    folder = tmp_path / "graph"
    folder.mkdir()
    with (folder / onnxruntime.GRAPH_FILE).open("wb") as file:
        np.save(file, table)
    shutil.copy(artifacts["encoder"] / TOKENIZER_FILE, folder)
    files = {one.name: FileEntry(file_sha256(one), one.stat().st_size) for one in folder.iterdir()}
    save_metadata(folder, replace(load_metadata(artifacts["encoder"]), files=files))
    made_up = SimpleNamespace(SessionOptions=SimpleNamespace, InferenceSession=Session)
    monkeypatch.setitem(sys.modules, "onnxruntime", made_up)
    monkeypatch.setattr(onnxruntime, "ONNX", ())
    return folder


async def _never() -> None:
    await asyncio.Event().wait()


def test_it_answers_what_a_build_answers(artifacts: dict[str, Path], graph: Path) -> None:
    models = (ModelConfig("build", str(artifacts["encoder"])), ModelConfig("graph", str(graph)))
    repository = Repository()
    load_models(ServeConfig(models, cores=1), repository)

    def ask(name: str, inputs: dict[str, Any]) -> dict[str, Any]:
        request = Request(inputs, {}, {})
        model = repository.model(name)
        return asyncio.run(model.answer(model.ask(request), _never))

    for name, output in (("", "EMBEDDING"), ("-tensors", "last_hidden_state")):
        ids = of_numbers(np.tile(np.array([[5, 6, 7], [8, 9, 1]], np.int32), 8))
        inputs = {"input_ids": ids} if name else {"TEXT": of_texts(TEXTS)}
        build, other = (ask(f"{one}{name}", inputs)[output].values for one in ("build", "graph"))
        np.testing.assert_allclose(other, build, atol=1e-6)
    build, other = (repository.model(name).statistics for name in ("build", "graph"))
    # Two runs of two texts of 24 tokens each; of a graph the longest text is as long as it gets.
    assert build.tokens + build.padding == 2 * 2 * 24
    assert (other.tokens, other.runs) == (build.tokens, build.runs) == (build.tokens, 2)
    assert 0 < other.padding < build.padding
    repository.close()


def test_a_damaged_graph_is_refused(graph: Path) -> None:
    with (graph / onnxruntime.GRAPH_FILE).open("ab") as file:
        file.write(b"x")
    with pytest.raises(ArtifactError, match=r"model\.onnx has \d+ bytes instead of"):
        onnxruntime.load(graph, 1)


def test_a_missing_package_is_named() -> None:
    def missing(name: str) -> str:
        raise __import__("importlib.metadata").metadata.PackageNotFoundError(name)

    with pytest.raises(DependencyError, match=r"onnxruntime not installed .*tvm_sparse\[peers\]"):
        check_dependencies(ONNX, missing)
