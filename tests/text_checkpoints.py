"""Checkpoints of small models for every task on texts, with tokenizers of three kinds."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file
from tiny_bert import CONFIG, bert_tensors
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

CORPUS = Path(__file__).parents[1] / "tvm_sparse/pruning/calibration.txt"
#: What it has not.
_FOREIGN = (
    *("Zürich, naïve café, über Größe; señor Ångström déjà vu", "東京は日本の首都です。北京是中国"),
    *("Москва столица России", "🐦 🌳 👩‍👩‍👧 1,000.50 € e-mail@example.com", "مرحبا بالعالم", "न"),
)
_BERT = {"cls": "[CLS]", "sep": "[SEP]", "pad": "[PAD]", "unk": "[UNK]", "mask": "[MASK]"}
_ROBERTA = {"cls": "<s>", "pad": "<pad>", "sep": "</s>", "unk": "<unk>", "mask": "<mask>"}
_CLASSES = {
    "BertForSequenceClassification": ("negative", "neutral", "positive"),
    "BertForTokenClassification": ("O", "B-PER", "I-PER", "B-LOC", "I-LOC", "MISC"),
}
#: Tasks, the class of their models, and what makes these differ.
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "feature-extraction": ("BertModel", {}),
    "text-classification": ("BertForSequenceClassification", {}),
    "zero-shot-classification": (
        "BertForSequenceClassification",
        {"classes": ("contradiction", "neutral", "entailment")},
    ),
    "text-ranking": ("BertForSequenceClassification", {"classes": ("LABEL_0",)}),
    "token-classification": ("BertForTokenClassification", {}),
    "question-answering": ("BertForQuestionAnswering", {}),
    "fill-mask": ("BertForMaskedLM", {}),
}
TOKENIZERS = ("word-pieces", "bytes", "unigrams")


def mask_token(tokenizer: str) -> str:
    return (_BERT if tokenizer == "word-pieces" else _ROBERTA)["mask"]


def make_checkpoint(folder: Path, task: str, tokenizer: str, seq_len: int) -> Path:
    """Write a model for a task, its tokenizer and their configs; the weights follow from a seed."""
    folder.mkdir(parents=True)
    vocab_size = make_tokenizer(folder, tokenizer, seq_len)
    architecture, changes = MODELS[task]
    classes = changes.get("classes", _CLASSES.get(architecture))
    config = {
        **CONFIG,
        "architectures": [architecture],
        "vocab_size": vocab_size,
        "max_position_embeddings": seq_len,
    }
    if classes:
        config["id2label"] = {str(i): name for i, name in enumerate(classes)}
        config["label2id"] = {name: i for i, name in enumerate(classes)}
    (folder / "config.json").write_text(json.dumps(config))
    tensors = bert_tensors(config, seed=len(task))
    bare = architecture == "BertModel"
    named = {name if bare else f"bert.{name}": value for name, value in tensors.items()}
    pooled = architecture in ("BertModel", "BertForSequenceClassification")
    named = {name: value for name, value in named.items() if pooled or "pooler" not in name}
    named |= _head(architecture, config, len(classes or ()))
    save_file(named, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def _head(architecture: str, config: dict[str, Any], classes: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    hidden = config["hidden_size"]

    def drawn(*shape: int) -> np.ndarray:
        return rng.normal(0, 0.5, shape).astype(np.float32)

    if architecture == "BertForQuestionAnswering":
        return {"qa_outputs.weight": drawn(2, hidden), "qa_outputs.bias": drawn(2)}
    if architecture == "BertForMaskedLM":
        transform = "cls.predictions.transform"
        return {
            f"{transform}.dense.weight": drawn(hidden, hidden),
            f"{transform}.dense.bias": drawn(hidden),
            f"{transform}.LayerNorm.weight": 1 + drawn(hidden) / 10,
            f"{transform}.LayerNorm.bias": drawn(hidden),
            "cls.predictions.bias": drawn(config["vocab_size"]),
        }
    if classes:
        return {"classifier.weight": drawn(classes, hidden), "classifier.bias": drawn(classes)}
    return {}


def make_tokenizer(folder: Path, kind: str, seq_len: int) -> int:
    """Write a tokenizer with a small vocabulary of a corpus; return its size."""
    texts = [*CORPUS.read_text(encoding="utf-8").splitlines(), *_FOREIGN]
    special = _BERT if kind == "word-pieces" else _ROBERTA
    tokens = list(special.values())
    if kind == "word-pieces":
        tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.BertNormalizer()
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.decoder = decoders.WordPiece()
        characters, words = _pieces(tokenizer, texts)
        endings = [f"##{piece}" for piece in (*characters, "ing", "ed", "er", "ly")]
        pieces = dict.fromkeys([*tokens, *characters, *endings, *words])
        vocabulary = {piece: number for number, piece in enumerate(pieces)}
        tokenizer.model = models.WordPiece(vocabulary, unk_token="[UNK]")
    elif kind == "bytes":
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=600, special_tokens=tokens, initial_alphabet=alphabet, show_progress=False
        )
        tokenizer.train_from_iterator(texts, trainer)
    else:
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.normalizer = normalizers.NFKC()
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        tokenizer.decoder = decoders.Metaspace()
        characters, words = _pieces(tokenizer, texts)
        pieces = dict.fromkeys([*tokens, *words, *characters])
        scored = [(piece, -number / 50) for number, piece in enumerate(pieces)]
        tokenizer.model = models.Unigram(scored, unk_id=tokens.index("<unk>"))
    if kind != "word-pieces":
        mask = AddedToken("<mask>", lstrip=True, special=True)
        tokenizer.add_special_tokens([mask])
    start, end = special["cls"], special["sep"]
    ids = [(token, tokenizer.token_to_id(token)) for token in (start, end)]
    if kind == "bytes":
        tokenizer.post_processor = processors.RobertaProcessing(
            ids[1], ids[0], add_prefix_space=False
        )
    else:
        pair = [start, "$A", end, "$B:1", f"{end}:1"] if kind == "word-pieces" else None
        tokenizer.post_processor = processors.TemplateProcessing(
            single=[start, "$A", end],
            pair=pair or [start, "$A", end, end, "$B", end],
            special_tokens=ids,
        )
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {f"{role}_token": token for role, token in special.items()}
    families = {"word-pieces": "Bert", "bytes": "Roberta", "unigrams": "XLMRoberta"}
    settings |= {
        "tokenizer_class": f"{families[kind]}Tokenizer",
        "model_max_length": seq_len,
        "clean_up_tokenization_spaces": kind != "bytes",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return int(tokenizer.get_vocab_size())


def _pieces(tokenizer: Tokenizer, texts: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return the characters of texts and their most frequent words.

    The library's own trainers for these models find others each time.
    """
    counts: Counter[str] = Counter()
    for text in texts:
        normal = tokenizer.normalizer.normalize_str(text)
        counts.update(word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(normal))
    characters = sorted({character for word in counts for character in word})
    return characters, sorted(counts, key=lambda word: (-counts[word], word))[:300]
