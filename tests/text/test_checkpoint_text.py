"""What is read of the files beside a checkpoint's weights."""

from __future__ import annotations

import json

import numpy as np
import pytest
from text_artifact import MODULES, write_sentence_files
from text_checkpoints import make_tokenizer

from tvm_sparse.errors import InputError
from tvm_sparse.model.text_facts import CardFacts, SentenceFacts
from tvm_sparse.text.card import read_card
from tvm_sparse.text.checkpoint_text import read_text_files
from tvm_sparse.text.pooling import pool
from tvm_sparse.text.sentence_modules import read_sentence_facts

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("settings", "model_type", "types"),
    [
        ({"tokenizer_class": "BertTokenizerFast"}, "bert", True),
        ({"tokenizer_class": "XLMRobertaTokenizer"}, "bert", False),
        ({}, "distilbert", False),
        ({"model_input_names": ["input_ids", "attention_mask"]}, "bert", False),
    ],
)
def test_facts_of_a_tokenizer(tmp_path, settings, model_type, types):
    make_tokenizer(tmp_path, "word-pieces", 512)
    endless = '"model_max_length": 1000000000000000019884624838656'
    document = json.dumps({**settings, "mask_token": {"content": "[MASK]"}, "cls_token": "xyz"})
    (tmp_path / "tokenizer_config.json").write_text(f"{document[:-1]}, {endless}}}")
    facts, tokenizer = read_text_files(tmp_path, {"model_type": model_type})
    assert (facts.max_length, facts.token_types, facts.clean_up) == (None, types, False)
    assert facts.special_tokens == {
        "sep": "[SEP]", "pad": "[PAD]", "unk": "[UNK]", "mask": "[MASK]"
    }  # fmt: skip
    assert facts.sentences == SentenceFacts()
    assert json.loads(tokenizer)["truncation"] is None


def test_a_directory_without_tokenizer_has_no_facts(tmp_path):
    assert read_text_files(tmp_path, {}) is None


def test_modules_of_sentence_transformers(tmp_path):
    write_sentence_files(tmp_path, pooling_mode_cls_token=True, pooling_mode_lasttoken=True)
    facts = read_sentence_facts(tmp_path)
    assert facts == SentenceFacts(("cls", "lasttoken"), True, 20, prompts={"query": "the red "})
    dense = {"path": "2_Dense", "type": "sentence_transformers.models.Dense"}
    (tmp_path / "modules.json").write_text(json.dumps([*MODULES, dense]))
    assert read_sentence_facts(tmp_path).unread == "Dense"
    (tmp_path / "modules.json").write_text(json.dumps([{**dense, "path": "../elsewhere"}]))
    with pytest.raises(InputError, match=r"modules\.json: .*path"):
        read_sentence_facts(tmp_path)


@pytest.mark.parametrize(
    ("card", "facts"),
    [
        ("no header", CardFacts()),
        ("---\nlicense: [\n---\n", CardFacts()),
        ("---\n- a\n---\n", CardFacts()),
        (
            "---\nlicense: mit\nlanguage: [en, de]\nbase_model: x/y\nmodel-index: []\n---\n# A",
            CardFacts("mit", ("en", "de"), ("x/y",)),
        ),
    ],
)
def test_the_header_of_a_card(tmp_path, card, facts):
    assert read_card(tmp_path) == CardFacts()
    (tmp_path / "README.md").write_text(card)
    assert read_card(tmp_path) == facts


def test_poolings():
    hidden = np.array([[1, 6], [2, 0], [6, 3]], np.float32)
    for mode, wanted in [
        ("cls", [1, 6]),
        ("lasttoken", [6, 3]),
        ("max", [6, 6]),
        ("mean", [3, 3]),
        ("mean_sqrt_len", [9 / 3**0.5, 9 / 3**0.5]),
        ("weightedmean", [23 / 6, 15 / 6]),
    ]:
        np.testing.assert_allclose(pool(hidden, (mode,)), wanted, rtol=1e-6)
    np.testing.assert_array_equal(pool(hidden, ("cls", "max")), [1, 6, 6, 6])
