"""Read files that lie, in process: every one is taken, or refused in one line.

`scripts/fuzz.py` does so for as long as one likes, `tests/records/test_fuzzing.py` for seconds.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

import numpy as np
from example_pruning import example_report, example_sensitivity
from example_record import example_record
from example_study import example_study
from mutations import Mutator, mutate_bytes, mutate_json, mutate_safetensors
from peers_record import peers_record
from request_mutations import (
    BINARY_BODIES,
    JSON_BODIES,
    OURS,
    THEIRS,
    mutate_binary,
    mutate_message,
    read_binary_body,
    read_configuration,
    read_json_body,
    read_message,
    sound_messages,
)
from safetensors.numpy import save
from text_artifact import MODULES
from tiny_artifact import tiny_metadata
from tiny_bert import CONFIG, TEXTS, WORDS
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from tvm_sparse.bench.inputs import random_inputs
from tvm_sparse.bench.peers.record import load_peers_record
from tvm_sparse.bench.record import load_record
from tvm_sparse.cli.results import describe_pruning
from tvm_sparse.config.model import ModelSpec
from tvm_sparse.config.sparsity import SparsitySpec
from tvm_sparse.errors import ConfigError, TvmSparseError
from tvm_sparse.fidelity.sensitivity_record import Sensitivity
from tvm_sparse.model.decision import Decision
from tvm_sparse.pruning.report import PruningReport
from tvm_sparse.records.checksum import checksum
from tvm_sparse.records.read import read_record
from tvm_sparse.records.write import json_text
from tvm_sparse.runtime.metadata import METADATA_FILE, FileEntry, load_metadata
from tvm_sparse.sources.checkpoint import SAFETENSORS_INDEX, find_weights
from tvm_sparse.sources.source import resolve_source
from tvm_sparse.sources.stored_tensors import stored_tensors
from tvm_sparse.sparsity.schedule import by_patterns, load_patterns
from tvm_sparse.text.checkpoint_text import read_text_files
from tvm_sparse.text.labels import class_names
from tvm_sparse.text.task_tokenizer import TaskTokenizer
from tvm_sparse.text.tokens import load_tokenizer
from tvm_sparse.whatif.grid_file import load_grid, make_grid
from tvm_sparse.whatif.study import load_study

#: A reader that takes longer has hung.
_LONGEST_S = 10.0
_LONGEST_LINE = 1000


@dataclass(frozen=True)
class Target:
    """A kind of file.

    Attributes
    ----------
    file : str
        Name of the file.
    sound : tuple of bytes
        Contents that are read.
    mutate : callable
        Makes others of them.
    read : callable
        Reads the file in a directory, and does with what it says what the program would.
    """

    file: str
    sound: tuple[bytes, ...]
    mutate: Mutator
    read: Callable[[Path], object]


@dataclass(frozen=True)
class Fault:
    """A mutant that ended in another way than it should; its number makes it again."""

    target: str
    seed: int
    number: int
    what: str


def _config(folder: Path) -> None:
    source = resolve_source(ModelSpec(str(folder), weights="random", seq_len=8))
    class_names(source.config, 3)


def _header(folder: Path) -> None:
    for tensor in stored_tensors(folder / "model.safetensors"):
        tensor.read()


def _index(folder: Path) -> None:
    for name in ("a.safetensors", "b.safetensors"):
        (folder / name).write_bytes(save({name: np.ones(2, np.float32)}))
    find_weights(folder)


def _tokenizer(folder: Path) -> None:
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    load_tokenizer(folder).encode([*TEXTS[:3], "a\tb"], 16, vocab_size=32)


def _texts(folder: Path) -> None:
    (folder / "vocab.txt").write_text("\n".join((*WORDS, "[MASK]")))
    found = read_text_files(folder, {"model_type": "bert"})
    assert found is not None
    facts, tokenizer = found
    artifact = folder / "artifact"
    artifact.mkdir(exist_ok=True)
    (artifact / "tokenizer.json").write_text(tokenizer, encoding="utf-8")
    read = TaskTokenizer(artifact, facts)
    encoded = read.encode(TEXTS[0], TEXTS[1], most=12, cut="only_second", stride=1)
    read.decode(encoded.ids)


def _grid(folder: Path) -> None:
    assert make_grid(load_grid(folder / "grid.yaml")).points


def _schedule(folder: Path) -> None:
    layers = {"encoder/layer_._0/attention/self/query/kernel": 64}
    by_patterns(layers, load_patterns(folder / "schedule.yaml"), 0.5)


def _metadata(folder: Path) -> None:
    metadata = load_metadata(folder)
    random_inputs(metadata)
    describe_pruning(metadata.spec, metadata.decisions)


def _sealed(data: bytes, random: Random) -> bytes:
    """Return mutants whose checksum is right: somebody meant them."""
    mutant = mutate_json(data, random)
    try:
        document = json.loads(mutant)
        return json.dumps({**document, "checksum": checksum(document)}).encode()
    except (ValueError, TypeError, RecursionError):
        return mutant


def _text(record: object) -> bytes:
    return json_text(record).encode()


def _metadata_text() -> bytes:
    decision = Decision("w", (4, 4), (1, 1), 0.5, None, False, "dense", "head", 32, 64)
    metadata = tiny_metadata(decisions=(decision,), files={"model.so": FileEntry("00", 5)})
    metadata.spec["sparsity"] = json.loads(json_text(SparsitySpec()))
    document = asdict(metadata)
    return _text({**document, "checksum": checksum(document)})


_TENSORS = {
    "a": np.ones((2, 3), np.float32),
    "b": np.ones(4, np.int64),
    "c": np.ones(2, "f2"),
}
_INDEX = {
    "metadata": {"total_size": 16},
    "weight_map": {"a": "a.safetensors", "b": "b.safetensors"},
}


def _word_pieces() -> bytes:
    vocab = {word: number for number, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    tokenizer.add_special_tokens(["[PAD]", "[CLS]"])
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        "[CLS] $A", "[CLS] $A $B:1", [("[CLS]", vocab["[CLS]"])]
    )
    return tokenizer.to_str().encode()


def _pairs() -> bytes:
    tokenizer = Tokenizer(models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")], unk_token="a"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()
    return tokenizer.to_str().encode()


_LABELS = {"architectures": ["BertForSequenceClassification"], "id2label": {"0": "A", "1": "B"}}
_VIT = {
    "model_type": "vit",
    "architectures": ["ViTForImageClassification"],
    "image_size": [16, 16],
    "num_channels": 3,
    "hidden_size": 32,
}
_SPECIAL_TOKENS = {"mask_token": {"content": "[MASK]", "lstrip": True}, "pad_token": "[PAD]"}
_TEXTS = {
    **_SPECIAL_TOKENS,
    "tokenizer_class": "BertTokenizer",
    "model_max_length": 512,
    "model_input_names": ["input_ids"],
    "clean_up_tokenization_spaces": True,
}
_CARD = b"---\nlicense: mit\nlanguage: [en, de]\nbase_model: x/y\n---\n# A model\n"
_GRID = (b"sparsity: [0.8, 0.9]\nblock_shape: [4x1, 16x1]\nseq_len: 128\n", b'{"batch": [1, 2]}')
_SCHEDULE = (b"'*/query/*': 0.7\n'*': 0.5\n", b'{"*/attention/*": 0.25}')


def _record(name: str, kind: type) -> Callable[[Path], object]:
    return lambda folder: read_record(folder / name, kind, ConfigError, "write it again")


TARGETS: dict[str, Target] = {
    "config": Target(
        "config.json", (_text({**CONFIG, **_LABELS}), _text(_VIT)), mutate_json, _config
    ),
    "safetensors": Target("model.safetensors", (save(_TENSORS),), mutate_safetensors, _header),
    "index of shards": Target(SAFETENSORS_INDEX, (_text(_INDEX),), mutate_json, _index),
    "tokenizer": Target("tokenizer.json", (_word_pieces(), _pairs()), mutate_json, _tokenizer),
    "tokenizer settings": Target(
        "tokenizer_config.json", (b'{"do_lower_case": true}',), mutate_json, _tokenizer
    ),
    "text settings": Target("tokenizer_config.json", (_text(_TEXTS),), mutate_json, _texts),
    "special tokens": Target(
        "special_tokens_map.json", (_text(_SPECIAL_TOKENS),), mutate_json, _texts
    ),
    "sentence modules": Target("modules.json", (_text(MODULES),), mutate_json, _texts),
    "model card": Target("README.md", (_CARD,), mutate_bytes, _texts),
    "grid": Target("grid.yaml", _GRID, mutate_bytes, _grid),
    "schedule": Target("schedule.yaml", _SCHEDULE, mutate_bytes, _schedule),
    "metadata": Target(METADATA_FILE, (_metadata_text(),), mutate_json, _metadata),
    "sealed metadata": Target(METADATA_FILE, (_metadata_text(),), _sealed, _metadata),
    "benchmark record": Target(
        "a.json", (_text(example_record()),), mutate_json, lambda f: load_record(f / "a.json")
    ),
    "record of engines": Target(
        "a.json", (_text(peers_record()),), mutate_json, lambda f: load_peers_record(f / "a.json")
    ),
    "study": Target(
        "a.json", (_text(example_study()),), mutate_json, lambda f: load_study(f / "a.json")
    ),
    "pruning report": Target(
        "a.json", (_text(example_report()),), mutate_json, _record("a.json", PruningReport)
    ),
    "sensitivity": Target(
        "a.json", (_text(example_sensitivity()),), mutate_json, _record("a.json", Sensitivity)
    ),
    "serving": Target(
        "serve.yaml", (OURS.encode(), THEIRS.encode()), mutate_bytes, read_configuration
    ),
    "request in JSON": Target("body", JSON_BODIES, mutate_json, read_json_body),
    "request in binary": Target("body", BINARY_BODIES, mutate_binary, read_binary_body),
    "request of gRPC": Target("body", sound_messages(), mutate_message, read_message),
}


def mutant(name: str, seed: int, number: int) -> bytes:
    """Return a mutant; equal arguments give equal bytes."""
    target, random = TARGETS[name], Random(f"{name} {seed} {number}")
    return target.mutate(random.choice(target.sound), random)


def faults(name: str, seed: int, numbers: range, folder: Path) -> Iterator[Fault]:
    """Read mutants one after the other and yield those that end in another way than they should."""
    target = TARGETS[name]
    for number in numbers:
        (folder / target.file).write_bytes(mutant(name, seed, number))
        start = time.perf_counter()
        what = _unforeseen(target, folder)
        if time.perf_counter() - start > _LONGEST_S:
            what = what or f"took {time.perf_counter() - start:.0f} s"
        if what:
            yield Fault(name, seed, number, what)


def _unforeseen(target: Target, folder: Path) -> str:
    try:
        target.read(folder)
    except TvmSparseError as error:
        line = str(error)
        if len(line) > _LONGEST_LINE:
            return f"a message of {len(line)} characters: {line[:200]!r}"
        return ""
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a panic of a Rust library is no Exception
        return f"{type(error).__name__}: {str(error)[:200]}"
    return ""
