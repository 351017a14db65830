"""Words that are known give the tokens that the library gives."""

from __future__ import annotations

import random
import string
from pathlib import Path

import pytest
from text_checkpoints import make_tokenizer
from tokenizers import models

from tvm_sparse.text import known_words as module
from tvm_sparse.text.known_words import KnownWords, known_words
from tvm_sparse.text.tokens import read_tokenizer

pytestmark = pytest.mark.unit

TEXTS = 3000
WORDS = ("the", "Red", "birds", "SINGS", "tree's", "[MASK]", "x" * 24, "über", "10,000", "_")


@pytest.fixture
def tokenizer(tmp_path: Path):
    make_tokenizer(tmp_path, "word-pieces", 64)
    made = read_tokenizer(tmp_path)
    made.add_special_tokens(["[MASK]"])
    return made


def texts(rng: random.Random) -> str:
    if rng.random() < 0.5:
        return " ".join(rng.choices(WORDS, k=rng.randrange(30)))
    characters = string.ascii_letters + string.digits + string.punctuation + " \t\n" * 3
    return "".join(rng.choices(characters, k=rng.randrange(80)))


def test_plain_texts_have_the_tokens_of_the_library(tokenizer) -> None:
    words, rng, plain = known_words(tokenizer), random.Random(0), 0
    assert words is not None
    for _ in range(TEXTS):
        text, most = texts(rng), rng.choice((3, 9, 200))
        found = words.encode(text, most)
        if found is None:
            continue
        plain += 1
        tokenizer.enable_truncation(max_length=most)
        wanted = tokenizer.encode(text)
        assert (found.ids, found.type_ids) == (wanted.ids, wanted.type_ids), text
        assert found.overflowing == bool(wanted.overflowing)
    assert plain > TEXTS // 2


def test_what_the_library_must_see(tokenizer) -> None:
    words = known_words(tokenizer)
    assert isinstance(words, KnownWords)
    for text in ("[MASK]", "über", "bell\x07", "a\x00b", "x" * 25):
        assert words.encode(text, 20) is None
    assert words.encode("the", 2) is None  # no room


def test_words_that_are_kept_are_bounded(tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_WORDS", 20)
    words, numbers = known_words(tokenizer), iter(range(10_000))
    assert isinstance(words, KnownWords)
    for _ in range(20):
        found = words.encode(" ".join(str(next(numbers)) for _ in range(100)), 9)
        assert found is not None
        assert found.overflowing
        assert 0 < len(words._known) < 20 + 9


def test_a_vocabulary_that_lacks_a_word_is_for_the_library_to_name(tokenizer) -> None:
    tokenizer.model = models.WordPiece({"a": 0, "[CLS]": 1, "[SEP]": 2}, unk_token="[UNK]")
    words = known_words(tokenizer)
    assert isinstance(words, KnownWords)
    assert words.encode("a b", 20) is None
    tokenizer.model = models.WordPiece({}, unk_token="[UNK]")
    assert known_words(tokenizer) is None


def test_tokenizers_that_split_otherwise(tmp_path: Path) -> None:
    make_tokenizer(tmp_path, "bytes", 64)
    assert known_words(read_tokenizer(tmp_path)) is None
