"""Pipelines of every task on models that look their outputs up by the token."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from pipeline_answers import open_checkpoint
from text_checkpoints import MODELS, make_tokenizer

from tvm_sparse.model.facts import TensorSpec
from tvm_sparse.text.pipelines import TEXT_TASKS, Pipeline

SEQ_LEN, VOCABULARY = 48, 600
CLASSES = {
    "text-classification": ("negative", "neutral", "positive"),
    "zero-shot-classification": ("contradiction", "neutral", "entailment"),
    "text-ranking": ("LABEL_0",),
    "token-classification": ("O", "B-PER", "I-PER"),
}


class Tables:
    """A model that looks its outputs up by the token."""

    def __init__(self, task: str) -> None:
        self._task, self._width = task, len(CLASSES.get(task, range(8)))
        self._width = VOCABULARY if task == "fill-mask" else self._width
        self._table = np.random.default_rng(3).normal(0, 2, (VOCABULARY, self._width))
        axes = ("batch", "seq_len")
        self.inputs = (TensorSpec("input_ids", (4, SEQ_LEN), "int32", VOCABULARY, axes),)

    def run_ragged(self, sequences: list[Any], **_more: Any) -> list[dict[str, np.ndarray]]:
        return [self._outputs(self._table[ids].astype(np.float32)) for ids in sequences]

    def _outputs(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        if self._task == "question-answering":
            return {"start_logits": rows[:, 0], "end_logits": rows[:, 1]}
        if self._task in ("sentence-embedding", "feature-extraction"):
            return {"last_hidden_state": rows}
        by_token = self._task in ("token-classification", "fill-mask")
        return {"logits": rows if by_token else rows.sum(0)}


def pipeline_of(task: str, folder: Path) -> Pipeline:
    folder.mkdir(parents=True)
    make_tokenizer(folder, "word-pieces", SEQ_LEN)
    names = CLASSES.get(task, ())
    architecture = MODELS["feature-extraction" if task == "sentence-embedding" else task][0]
    config = {"id2label": {str(i): name for i, name in enumerate(names)}}
    config |= {"label2id": {name: i for i, name in enumerate(names)}}
    config |= {"model_type": "bert", "architectures": [architecture]}
    (folder / "config.json").write_text(json.dumps(config))
    return TEXT_TASKS[task].make(open_checkpoint(Tables(task), folder, config))
