from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from made_models import FACTS

from tvm_sparse.errors import CacheError
from tvm_sparse.model.facts import ModelFacts, input_words

pytestmark = pytest.mark.unit


def test_facts_come_back_from_a_manifest() -> None:
    manifest = json.loads(json.dumps(asdict(FACTS)))
    assert ModelFacts.from_manifest({**manifest, "kind": "ir", "files": {}}) == FACTS


@pytest.mark.parametrize("fault", [{"weights": None}, {"weights": {"sort": "random"}}])
def test_an_entry_of_another_version_is_refused_in_one_line(fault: dict) -> None:
    manifest = {**json.loads(json.dumps(asdict(FACTS))), **fault}
    with pytest.raises(
        CacheError, match=r"ir/0123: weights.*another version of tvm_sparse"
    ) as caught:
        ModelFacts.from_manifest(manifest)
    assert "\n" not in str(caught.value)


def test_what_a_model_takes_in_words() -> None:
    texts, images = {"vocab_size": 30000, "image_size": 9}, {"image_size": 224}
    assert input_words(texts, 2, 128) == "batch 2, 128 tokens"
    assert input_words(texts, 2, None) == "batch 2"
    assert input_words(images, 1, 128) == "1 image, 224x224"
    assert input_words({"image_size": [32, 64]}, 3, 128) == "3 images, 32x64"
