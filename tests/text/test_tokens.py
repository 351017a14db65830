import json

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from tvm_sparse.errors import InputError
from tvm_sparse.text.tokens import Tokens, load_tokenizer

pytestmark = pytest.mark.unit


def test_word_pieces_of_a_vocabulary(dense_dir):
    tokens = load_tokenizer(dense_dir).encode(["The red BIRDS", "a"], 8)
    # [CLS] the red bird ##s [SEP]
    assert tokens.arrays["input_ids"].tolist() == [[2, 5, 6, 9, 20, 3, 0, 0], [2, 4, 3] + [0] * 5]
    assert tokens.arrays["attention_mask"].sum(axis=1).tolist() == [6, 3]
    assert not tokens.arrays["token_type_ids"].any()
    assert all(array.dtype == np.int32 for array in tokens.arrays.values())
    assert tokens.truncated == 0


def test_a_vocabulary_may_tell_upper_case(tmp_path, dense_dir):
    (tmp_path / "vocab.txt").write_text((dense_dir / "vocab.txt").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False}))
    tokens = load_tokenizer(tmp_path).encode(["The a"], 8)
    assert tokens.arrays["input_ids"][0, :4].tolist() == [2, 1, 4, 3]


def test_pairs_and_their_words(dense_dir):
    tokens = load_tokenizer(dense_dir).encode(["a bird\tthe  red fish"], 10)
    assert tokens.arrays["token_type_ids"][0].tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 0, 0]
    assert tokens.words(0, 4, 6) == "the  red fish"
    assert tokens.words(0, 1, 2) == "a bird"
    assert tokens.words(0, 2, 5) == ""  # across both
    assert tokens.words(0, 0, 1) == ""  # a special token
    assert tokens.words(0, 8, 9) == ""  # padding


def test_long_texts_are_cut_and_counted(dense_dir):
    tokens = load_tokenizer(dense_dir).encode(["a " * 20, "a"], 6)
    assert tokens.arrays["input_ids"][0].tolist() == [2, 4, 4, 4, 4, 3]
    assert tokens.truncated == 1


def test_a_tokenizer_file_goes_first_and_keeps_no_padding_of_its_own(tmp_path, dense_dir):
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "bird": 1, "<pad>": 7}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.enable_padding(length=100, pad_id=5)
    tokenizer.enable_truncation(2)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "vocab.txt").write_text((dense_dir / "vocab.txt").read_text())
    tokens = load_tokenizer(tmp_path).encode(["bird bird bird"], 5)
    assert tokens.arrays["input_ids"].tolist() == [[1, 1, 1, 7, 7]]


def test_what_cannot_be_tokenised_is_refused(tmp_path, dense_dir):
    with pytest.raises(InputError, match="has no tokenizer"):
        load_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        load_tokenizer(tmp_path)
    tokenizer = load_tokenizer(dense_dir)
    with pytest.raises(InputError, match="need 5 tokens"):
        tokenizer.encode(["a"], 4)
    with pytest.raises(InputError, match="vocabulary of 10"):
        tokenizer.encode(["the house"], 8, vocab_size=10)


WORDS = {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "?"}


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"type": "BPE", "vocab": {}, "merges": []}, "makes no tokens of 'a b'"),
        (WORDS, "fails on a text: WordLevel error: Missing"),
        ({**WORDS, "vocab": {"a b": 2**32 - 1}}, "gives id 4294967295, the model has"),
        ({**WORDS, "vocab": {"a b": 0, "[PAD]": 2**31}}, "gives id 2147483648, the model has"),
    ],
)
def test_a_tokenizer_that_is_of_no_use_is_refused(model, message, tmp_path):
    (tmp_path / "tokenizer.json").write_text(json.dumps({"version": "1.0", "model": model}))
    with pytest.raises(InputError, match=message):
        load_tokenizer(tmp_path).encode(["a b"], 5)


def test_settings_of_a_wrong_type_are_refused(tmp_path, dense_dir):
    (tmp_path / "vocab.txt").write_text((dense_dir / "vocab.txt").read_text())
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": [1]}')
    with pytest.raises(InputError, match="do_lower_case: Expected bool, got array"):
        load_tokenizer(tmp_path)


def test_a_vocabulary_without_special_tokens_is_refused(tmp_path):
    (tmp_path / "vocab.txt").write_text("a\nb\n")
    with pytest.raises(InputError, match=r"lacks \[UNK\]"):
        load_tokenizer(tmp_path)


def test_batches_are_full_and_say_how_many_rows_count():
    tokens = Tokens({"input_ids": np.arange(5, dtype=np.int32)[:, None]})
    batches = list(tokens.batches(["input_ids"], 2))
    assert [rows for _, rows in batches] == [2, 2, 1]
    assert [b["input_ids"].ravel().tolist() for b, _ in batches] == [[0, 1], [2, 3], [4, 4]]
    with pytest.raises(InputError, match="pixel_values"):
        list(tokens.batches(["pixel_values"], 2))


def vocabulary_with(directory, dense_dir, **files):
    """Write the vocabulary with [MASK] behind it, and JSON files by name."""
    (directory / "vocab.txt").write_text((dense_dir / "vocab.txt").read_text() + "[MASK]\n")
    for name, content in files.items():
        (directory / f"{name}.json").write_text(json.dumps(content))
    return directory


@pytest.mark.parametrize(
    ("files", "ids"),
    [
        # What transformers' BertTokenizerFast makes of the same files.
        ({}, [2, 5, 22, 9, 7, 1, 9, 3]),
        ({"added_tokens": {"Blue_Bird": 23}}, [2, 5, 22, 9, 23, 3]),
        (
            {"tokenizer_config": {"added_tokens_decoder": {"23": {"content": "Blue_Bird"}}}},
            [2, 5, 22, 9, 23, 3],
        ),
        (
            {"special_tokens_map": {"mask_token": {"content": "fish"}}},
            [2, 5, 1, 1, 1, 9, 7, 1, 9, 3],
        ),
    ],
    ids=["mask", "added", "decoder", "renamed"],
)
def test_tokens_that_are_no_pieces_stay_whole(files, ids, tmp_path, dense_dir):
    tokenizer = load_tokenizer(vocabulary_with(tmp_path, dense_dir, **files))
    tokens = tokenizer.encode(["the [MASK] bird Blue_Bird"], 12)
    found = tokens.arrays["input_ids"][0][tokens.arrays["attention_mask"][0] == 1].tolist()
    assert found == ids


def test_an_added_token_has_the_next_id(tmp_path, dense_dir):
    vocabulary_with(tmp_path, dense_dir, added_tokens={"Blue_Bird": 40})
    with pytest.raises(InputError, match=r"'Blue_Bird' with the id 40, which follows .* as 23"):
        load_tokenizer(tmp_path)
