"""A text with each of several others is split into tokens once, and the pairs are as ever."""

from __future__ import annotations

import pytest
from text_checkpoints import TOKENIZERS, make_tokenizer
from text_questions import ODD

from tvm_sparse.errors import InputError
from tvm_sparse.model.text_facts import TextFacts
from tvm_sparse.text.task_tokenizer import TaskTokenizer

pytestmark = pytest.mark.unit

OTHERS = ("This example is sports.", " lead", "about 日本")


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_pairs_are_those_of_encode(kind, tmp_path):
    make_tokenizer(tmp_path, kind, 512)
    tokenizer = TaskTokenizer(tmp_path, TextFacts({}))
    for text in (*ODD, "a ferry " * 500):
        for cut in ("only_first", "longest_first"):
            try:
                wanted = [tokenizer.encode(text, other, most=64, cut=cut) for other in OTHERS]
            except InputError:
                with pytest.raises(InputError):
                    list(tokenizer.encode_with_each(text, OTHERS, most=64, cut=cut))
                continue
            found = tokenizer.encode_with_each(text, OTHERS, most=64, cut=cut)
            for one, other in zip(found, wanted, strict=True):
                assert one.ids == other.ids
                assert one.type_ids == other.type_ids
                assert bool(one.overflowing) == bool(other.overflowing)


def test_each_text_is_split_once(tmp_path, monkeypatch):
    make_tokenizer(tmp_path, "word-pieces", 512)
    tokenizer, split = TaskTokenizer(tmp_path, TextFacts({})), []
    plain = tokenizer._plain
    monkeypatch.setattr(tokenizer, "_plain", lambda text: split.append(text) or plain(text))
    assert len(list(tokenizer.encode_with_each("the ferry", OTHERS, most=64))) == 3
    assert split == ["the ferry"]
