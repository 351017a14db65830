"""Our pipelines answer what transformers' do, on the same weights; odd texts among the inputs.

Both run TensorFlow's model here, ours padded to one shape, as a build has it.
`scripts/check_pipelines.py` compares builds, on hundreds of texts.
"""

from __future__ import annotations

import json

import pytest
from pipeline_answers import Refused, TensorFlowModel, compare, open_checkpoint, ours, theirs
from text_checkpoints import make_checkpoint, mask_token
from text_questions import ODD, questions

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

BATCH, SEQ_LEN = 3, 48


@pytest.mark.parametrize(
    ("task", "tokenizer"),
    [
        ("feature-extraction", "word-pieces"),
        ("text-classification", "unigrams"),
        ("zero-shot-classification", "bytes"),
        ("text-ranking", "word-pieces"),
        ("token-classification", "word-pieces"),
        ("token-classification", "bytes"),
        ("question-answering", "word-pieces"),
        ("question-answering", "unigrams"),
        ("fill-mask", "bytes"),
    ],
)
def test_answers_are_those_of_transformers(task, tokenizer, tmp_path, capfd) -> None:
    folder = make_checkpoint(tmp_path / "model", task, tokenizer, SEQ_LEN)
    asked = questions(task, len(ODD) + 4, mask_token(tokenizer))
    wanted = theirs(folder, task, asked)
    assert sum(isinstance(answer, Refused) for answer in wanted) < len(asked) // 2
    config = json.loads((folder / "config.json").read_text())
    model = open_checkpoint(TensorFlowModel(folder, BATCH, SEQ_LEN), folder, config)
    result = compare(asked, wanted, ours(model, task, asked))
    assert result.mismatches == []
    assert result.worst < 1e-4
