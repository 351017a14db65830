"""What models are asked about texts, odd texts among them: always the same for a seed."""

from __future__ import annotations

import random
from typing import Any

from text_checkpoints import CORPUS

LABELS = ("sports", "politics", "naïve café", "🐦")
#: Texts that somebody will send.
ODD = (
    *("", " ", "   \t \n ", "a", ".", "x" * 300, "-" * 80, "word " * 400),
    *("🐦", "👩‍👩‍👧 and 🏳️‍🌈 flags", "é", "Z͑ͫ̓a͖l̗g̵o̶ combining", "हिन्दी", "مرحبا بالعالم"),
    *(
        "東京は日本の首都です。北京是中国的首都",
        "\u200bzero\u200bwidth\u00a0spaces",
        "\ufffd\ue000",
    ),
    *("[CLS] the [SEP] tree [PAD]", "<s> a </s> <pad> b", "the [UNK] and <unk>"),
    *("ﬁne ﬀ ligatures", "UPPER lower MiXeD", "1,234.56 % of $7 (e.g. don't) — “quoted”"),
    *("a\r\nb\x0bc\x00d", "don't can't I'm you've they're it's", "http://a.b/c?d=e&f=g#h"),
)
LONG = 100_000


def make_texts(count: int, seed: int = 0) -> list[str]:
    """Return parts of a corpus, of a word up to hundreds, the odd ones first."""
    rng = random.Random(seed)
    words = CORPUS.read_text(encoding="utf-8").split()
    texts = list(ODD)
    while len(texts) < count:
        start, length = rng.randrange(len(words)), int(2 ** rng.uniform(0, 8))
        separator = rng.choice((" ", " ", " ", "  ", "\n"))
        texts.append(separator.join(words[start : start + length]))
    return texts[:count]


def long_text(seed: int = 0) -> str:
    """Return a text of 100,000 characters."""
    return " ".join(make_texts(len(ODD) + 2000, seed)).strip()[:LONG].ljust(LONG, "a")


def long_question(task: str, mask: str) -> tuple[Any, dict[str, Any]]:
    """Return what to ask about the long text."""
    text = long_text()
    if task == "question-answering":
        return {"question": "How long does it take?", "context": text}, {"top_k": 3}
    if task == "zero-shot-classification":
        return text, {"candidate_labels": list(LABELS)}
    if task == "token-classification":
        return text, {"aggregation_strategy": "simple", "stride": 16}
    if task == "text-ranking":
        return ("a short query", [text, "a short text"]), {}
    return f"{mask} {text}" if task == "fill-mask" else text, {}


def questions(task: str, count: int, mask: str, seed: int = 0) -> list[tuple[Any, dict[str, Any]]]:
    """Return what to ask: the inputs of one call each, and its options."""
    rng = random.Random(seed)
    texts = make_texts(count, seed)
    asked: list[tuple[Any, dict[str, Any]]] = []
    for number, text in enumerate(texts):
        other = rng.choice(texts)
        if task == "text-classification":
            given: Any = {"text": text, "text_pair": other} if number % 3 == 2 else text
            options = (
                {"top_k": None},
                {"top_k": 2, "function_to_apply": "sigmoid"},
                {"top_k": 1, "function_to_apply": "none"},
                {},
            )[number % 4]
        elif task == "zero-shot-classification":
            given = text
            options = {"candidate_labels": list(LABELS[: 1 + number % 4])}
            if number % 3 == 1:
                options["multi_label"] = True
            if number % 3 == 2:
                options["hypothesis_template"] = "{} is what it is about."
        elif task == "token-classification":
            given = text
            strategy = ("none", "simple", "first", "max", "average")[number % 5]
            options = {"aggregation_strategy": strategy}
            if strategy != "none" and number % 2:
                options["stride"] = 3
            if number % 7 == 0:
                options["ignore_labels"] = ["MISC"]
        elif task == "question-answering":
            asks = " ".join(other.split()[:12]) or "what?"
            given = {"question": text if number % 9 == 8 else asks, "context": text}
            options = {"top_k": 1 + number % 4, "handle_impossible_answer": number % 3 == 1}
            if number % 5 == 4:
                options["align_to_words"] = False
            if number % 7 == 6:
                options |= {"doc_stride": 5, "max_answer_len": 40}
        elif task == "fill-mask":
            words = text.split(" ")
            for _ in range(1 + number % 2):
                words.insert(rng.randrange(min(len(words), 8) + 1), mask)
            given, options = " ".join(words), {"top_k": 1 + number % 6}
            if number % 4 == 2:
                options["targets"] = ["the", "a", "notatoken", "pruning"]
        elif task == "text-ranking":
            given, options = (text, rng.sample(texts, 4)), {}
        else:
            given, options = text, {}
        asked.append((given, options))
    return asked
