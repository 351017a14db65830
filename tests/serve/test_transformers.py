"""What the server answers over HTTP is what transformers' pipelines answer, on the same weights.

TensorFlow's model of a checkpoint is served here, by a backend for it: queue, tokenizer, task and
protocol are those of any build.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pipeline_answers import (
    TOLERANCE,
    Refused,
    TensorFlowModel,
    difference,
    their_embeddings,
    theirs,
)
from running_server import load_models, running
from text_artifact import write_sentence_files
from text_checkpoints import make_checkpoint, mask_token
from text_questions import ODD, questions
from tiny_artifact import tiny_metadata

from tvm_sparse.model.facts import ModelDescription
from tvm_sparse.runtime.metadata import FileEntry, file_sha256, save_metadata
from tvm_sparse.serve.address_config import HttpConfig
from tvm_sparse.serve.backends import registry
from tvm_sparse.serve.backends.backend import Backend
from tvm_sparse.serve.config import ServeConfig
from tvm_sparse.serve.model_config import ModelConfig
from tvm_sparse.serve.repository import Repository
from tvm_sparse.tasks.registry import task_of
from tvm_sparse.text.checkpoint_text import read_text_files
from tvm_sparse.text.tokens import TOKENIZER_FILE

pytestmark = [
    *(pytest.mark.e2e, pytest.mark.slow),
    pytest.mark.filterwarnings("ignore::UserWarning"),  # as the server does
]

BATCH, SEQ_LEN = 3, 48
CHECKPOINT_FILE = "checkpoint.txt"
#: Two odd texts, and four of words.
ASKED = (8, 11, *range(len(ODD), len(ODD) + 4))


class Served(TensorFlowModel):
    """A checkpoint as the server runs it."""

    outputs = ()
    threads = 1

    def __init__(self, directory: Path, _threads: int) -> None:
        super().__init__(Path((directory / CHECKPOINT_FILE).read_text()), BATCH, SEQ_LEN)

    def computed_tokens(self, lengths: list[int]) -> int:
        return BATCH * SEQ_LEN * len(lengths)

    def own_threads(self) -> None:
        """TensorFlow has its own."""

    def on(self, threads: int) -> Served:
        return self


def write_served(checkpoint: Path, folder: Path) -> Path:
    """Write the directory of a served checkpoint."""
    folder.mkdir()
    config = json.loads((checkpoint / "config.json").read_text())
    facts, tokenizer = read_text_files(checkpoint, config)
    (folder / TOKENIZER_FILE).write_text(tokenizer, encoding="utf-8")
    (folder / CHECKPOINT_FILE).write_text(str(checkpoint))
    files = {one.name: FileEntry(file_sha256(one), one.stat().st_size) for one in folder.iterdir()}
    architecture = config["architectures"][0]
    model = ModelDescription("tiny", architecture, task_of(architecture).name, config)
    save_metadata(folder, tiny_metadata(model=model, text=facts, files=files))
    return folder


@pytest.fixture
def serving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What serves a checkpoint for a task, and returns what asks it."""
    backends = {CHECKPOINT_FILE: Backend(lambda _metadata: None, Served)}
    monkeypatch.setattr(registry, "BACKENDS", backends)

    def serve(checkpoint: Path, task: str):
        models = (ModelConfig("tiny", str(write_served(checkpoint, tmp_path / "served")), task),)
        config, repository = ServeConfig(models, HttpConfig(port=0), cores=1), Repository()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            load_models(config, repository)
        return running(repository, config.http)

    return serve


def ask(address: str, inputs: dict[str, list[str]], options: dict[str, Any]) -> dict[str, Any]:
    """Return the outputs by name, as arrays or lists of texts; nothing if it is refused."""
    tensors = [
        {"name": name, "datatype": "BYTES", "shape": [len(texts)], "data": texts}
        for name, texts in inputs.items()
    ]
    body = json.dumps({"inputs": tensors, "parameters": options}).encode()
    request = urllib.request.Request(f"http://{address}/v2/models/tiny/infer", body)
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            answer = json.load(reply)
    except urllib.error.HTTPError as error:
        if error.code != 400:
            raise
        return {}
    return {
        one["name"]: one["data"]
        if one["datatype"] == "BYTES"
        else np.reshape(one["data"], one["shape"])
        for one in answer["outputs"]
    }


def as_inputs(task: str, given: Any) -> dict[str, list[str]]:
    """Return the inputs of a question."""
    if task == "question-answering":
        return {"QUESTION": [given["question"]], "CONTEXT": [given["context"]]}
    if task == "text-ranking":
        return {"QUERY": [given[0]], "TEXT": given[1]}
    if isinstance(given, dict):
        return {"TEXT": [given["text"]], "TEXT_PAIR": [given["text_pair"]]}
    return {"TEXT": [given]}


def as_answer(task: str, outputs: dict[str, Any]) -> Any:
    """Return outputs as a pipeline says it."""
    if task == "feature-extraction":
        return outputs["FEATURES"][None]
    if task == "text-classification":
        pairs = zip(outputs["LABEL"], outputs["SCORE"].reshape(-1), strict=True)
        return [{"label": label, "score": float(score)} for label, score in pairs]
    if task == "question-answering":
        names = {name.lower(): outputs[name][0] for name in ("ANSWER", "SCORE", "START", "END")}
        return {**names, "score": float(names["score"])}
    if task == "text-ranking":
        scores = outputs["SCORE"].tolist()
        order = sorted(range(len(scores)), key=lambda i: -scores[i])
        return [{"corpus_id": i, "score": scores[i]} for i in order]
    return json.loads(outputs["ANSWER"][0])


@pytest.mark.parametrize(
    ("task", "tokenizer"),
    [
        ("feature-extraction", "word-pieces"),
        ("text-classification", "unigrams"),
        ("zero-shot-classification", "bytes"),
        ("text-ranking", "word-pieces"),
        ("token-classification", "word-pieces"),
        ("question-answering", "word-pieces"),
        ("fill-mask", "bytes"),
    ],
)
def test_answers_are_those_of_transformers(task, tokenizer, tmp_path, serving, capfd) -> None:
    checkpoint = make_checkpoint(tmp_path / "model", task, tokenizer, SEQ_LEN)
    every = questions(task, len(ODD) + 4, mask_token(tokenizer))
    asked = [every[number] for number in ASKED]
    if task == "question-answering":  # over the protocol one answer each
        asked = [(given, {**options, "top_k": 1}) for given, options in asked]
    wanted = theirs(checkpoint, task, asked)
    assert sum(isinstance(answer, Refused) for answer in wanted) < 3
    with serving(checkpoint, task) as server:
        for (given, options), their in zip(asked, wanted, strict=True):
            outputs = ask(server.address, as_inputs(task, given), options)
            if isinstance(their, Refused):
                continue
            if task == "text-classification" and isinstance(their, dict):
                their = [their]
            assert difference(their, as_answer(task, outputs)) < TOLERANCE, (given, their, outputs)


def test_embeddings_are_those_of_transformers(tmp_path, serving, capfd) -> None:
    checkpoint = make_checkpoint(tmp_path / "model", "feature-extraction", "word-pieces", SEQ_LEN)
    write_sentence_files(checkpoint, pooling_mode_mean_tokens=True)
    texts = [text for text, _ in questions("feature-extraction", len(ODD) + 4, "")][8:]
    with serving(checkpoint, "sentence-embedding") as server:
        found = ask(server.address, {"TEXT": texts}, {})["EMBEDDING"]
    # The files say how many tokens of a text are read.
    wanted = their_embeddings(checkpoint, texts, 20)
    np.testing.assert_allclose(found, wanted, atol=TOLERANCE)
