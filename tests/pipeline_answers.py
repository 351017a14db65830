"""Answers of transformers' pipelines and of ours, and how far apart they are.

What imports transformers here does so when it is called: it is meant for child processes.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tvm_sparse.errors import TvmSparseError
from tvm_sparse.model.facts import ModelDescription, TensorSpec
from tvm_sparse.tasks.registry import task_of
from tvm_sparse.text.checkpoint_text import read_text_files
from tvm_sparse.text.pipelines import TEXT_TASKS
from tvm_sparse.text.text_model import TextModel

#: Of scores and of vectors.
TOLERANCE = 1e-4
#: What makes transformers cut texts where ours does.
_CUTTING = {
    "text-classification": {"truncation": True},
    "fill-mask": {"tokenizer_kwargs": {"truncation": True}},
    "feature-extraction": {"truncation": True, "return_tensors": True},
}


class Refused(str):
    """Instead of an answer: what was raised."""


class TensorFlowModel:
    """TensorFlow's model of a checkpoint, which takes inputs of one shape as a build does."""

    def __init__(self, folder: Path, batch: int, seq_len: int) -> None:
        import transformers

        config = transformers.AutoConfig.from_pretrained(folder)
        kind = getattr(transformers, f"TF{config.architectures[0]}")
        self._model = kind.from_pretrained(folder)
        names = ("input_ids", "attention_mask", "token_type_ids")
        self.inputs = tuple(TensorSpec(name, (batch, seq_len), "int32") for name in names)

    def run_ragged(self, sequences: list[Any], **more: list[Any]) -> list[dict[str, np.ndarray]]:
        batch, seq_len = self.inputs[0].shape
        assert len(sequences) <= batch
        given = {"input_ids": sequences, "attention_mask": [[1] * len(s) for s in sequences]}
        arrays = {}
        for spec in self.inputs:
            arrays[spec.name] = np.zeros((batch, seq_len), np.int32)
            for row, values in enumerate({**given, **more}.get(spec.name, ())):
                arrays[spec.name][row, : len(values)] = values
        outputs = {name: value.numpy() for name, value in self._model(arrays).items()}
        return [
            {
                name: value[row, : len(ids)] if value.shape[1:2] == (seq_len,) else value[row]
                for name, value in outputs.items()
            }
            for row, ids in enumerate(sequences)
        ]


def theirs(folder: Path, task: str, asked: list[tuple[Any, dict[str, Any]]]) -> list[Any]:
    """Return the answers of transformers."""
    import transformers

    transformers.logging.set_verbosity_error()
    if task == "text-ranking":
        return _their_ranking(folder, asked)
    # Its default asks PyTorch for a dtype.
    pipeline = transformers.pipeline(task, str(folder), framework="tf", torch_dtype=None)
    found = []
    for given, options in asked:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                chosen = {**_CUTTING.get(task, {}), **options}
                answer = (
                    pipeline(**given, **chosen)
                    if task == "question-answering"
                    else pipeline(given, **chosen)
                )
                found.append(answer.numpy() if task == "feature-extraction" else answer)
            except BaseException as error:  # panics of Rust are no Exception
                found.append(Refused(f"{type(error).__name__}: {error}"))
    return found


def _their_ranking(folder: Path, asked: list[tuple[Any, dict[str, Any]]]) -> list[Any]:
    """Rank as sentence-transformers' cross-encoders do, with transformers' model and tokenizer."""
    import tensorflow as tf
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.TFAutoModelForSequenceClassification.from_pretrained(folder)
    found = []
    for (query, documents), _ in asked:
        tokens = tokenizer(
            [query] * len(documents), documents, truncation=True, padding=True, return_tensors="tf"
        )
        scores = tf.sigmoid(model(**tokens).logits[:, 0]).numpy()
        ranked = sorted(range(len(documents)), key=lambda i: -scores[i])
        found.append([{"corpus_id": i, "score": float(scores[i])} for i in ranked])
    return found


def their_embeddings(folder: Path, texts: list[str], most: int) -> list[np.ndarray]:
    """Return embeddings by sentence-transformers' recipe: the mean over the tokens, of length 1."""
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.TFAutoModel.from_pretrained(folder)
    found = []
    for text in texts:
        tokens = tokenizer(text.strip(), truncation=True, max_length=most, return_tensors="tf")
        vector = model(**tokens).last_hidden_state.numpy()[0].mean(axis=0)
        found.append(vector / np.linalg.norm(vector))
    return found


def open_checkpoint(model: Any, folder: Path, config: dict[str, Any]) -> TextModel:
    """Return a model of a checkpoint as one that takes texts."""
    architecture = config["architectures"][0]
    description = ModelDescription("tiny", architecture, task_of(architecture).name, config)
    found = read_text_files(folder, config)
    assert found is not None
    facts, tokenizer = found
    artifact = folder.with_name("artifact")
    artifact.mkdir()
    (artifact / "tokenizer.json").write_text(tokenizer, encoding="utf-8")
    return TextModel(model, description, facts, artifact)


def ours(model: TextModel, task: str, asked: list[tuple[Any, dict[str, Any]]]) -> list[Any]:
    """Return our answers."""
    pipeline = TEXT_TASKS[task].make(model)
    found = []
    for given, options in asked:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                if task == "question-answering":
                    found.append(pipeline(**given, **options))
                elif task == "text-ranking":
                    found.append(pipeline(*given, **options))
                else:
                    found.append(pipeline(given, **options))
            except TvmSparseError as error:
                found.append(Refused(error))
    return found


@dataclass
class Comparison:
    """What became of some inputs: the mismatches are of questions, their answers and ours."""

    worst: float = 0.0
    mismatches: list[tuple[Any, Any, Any]] = field(default_factory=list)
    refused_by_both: int = 0
    answered_by_us: int = 0


def compare(asked: list[Any], wanted: list[Any], found: list[Any]) -> Comparison:
    """Compare answers; what transformers refuses we may answer."""
    result = Comparison()
    for question, their, our in zip(asked, wanted, found, strict=True):
        if isinstance(their, Refused):
            result.refused_by_both += isinstance(our, Refused)
            result.answered_by_us += not isinstance(our, Refused)
            continue
        apart = difference(their, our)
        if apart > TOLERANCE:
            result.mismatches.append((question, their, our))
        else:
            result.worst = max(result.worst, apart)
    return result


def difference(wanted: Any, found: Any) -> float:
    """Return how far apart numbers of two answers are; infinity if anything else differs."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        if wanted.keys() != found.keys():
            return math.inf
        return max((difference(wanted[key], found[key]) for key in wanted), default=0.0)
    if isinstance(wanted, np.ndarray) or isinstance(found, np.ndarray):
        wanted, found = np.asarray(wanted), np.asarray(found)
        if wanted.shape != found.shape:
            return math.inf
        return float(np.abs(wanted - found).max(initial=0))
    if isinstance(wanted, (list, tuple)) and isinstance(found, (list, tuple)):
        if len(wanted) != len(found):
            return math.inf
        pairs = zip(wanted, found, strict=True)
        return max((difference(one, other) for one, other in pairs), default=0.0)
    if isinstance(wanted, (float, np.floating)):
        return abs(float(wanted) - float(found))
    return 0.0 if wanted == found else math.inf
