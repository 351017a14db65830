"""What our pipeline answers where transformers' raises."""

from __future__ import annotations

import numpy as np
import pytest
from text_checkpoints import make_tokenizer

from tvm_sparse.errors import ConfigError, InputError
from tvm_sparse.model.facts import ModelDescription, TensorSpec
from tvm_sparse.text.checkpoint_text import read_text_files
from tvm_sparse.text.question_answering import QuestionAnswering
from tvm_sparse.text.text_model import CutWarning, TextModel

pytestmark = pytest.mark.unit

SEQ_LEN = 32


class Guess:
    """Finds the answer at the ids it likes."""

    inputs = tuple(TensorSpec(n, (4, SEQ_LEN), "int32") for n in ("input_ids", "attention_mask"))

    def __init__(self) -> None:
        self.lengths: list[int] = []

    def run_ragged(self, sequences, **more):
        self.lengths += [len(ids) for ids in sequences]
        scores = [np.sin(np.array(ids, np.float32)) for ids in sequences]
        return [{"start_logits": one, "end_logits": one} for one in scores]


@pytest.fixture
def guess() -> Guess:
    return Guess()


@pytest.fixture
def answer(tmp_path, guess) -> QuestionAnswering:
    make_tokenizer(tmp_path, "word-pieces", 512)
    found = read_text_files(tmp_path, {})
    assert found is not None
    description = ModelDescription("tiny", "BertForQuestionAnswering", "question-answering", {})
    return QuestionAnswering(TextModel(guess, description, found[0], tmp_path))


def test_a_question_that_leaves_no_room_is_cut(answer, guess):
    context = "the ferry leaves the harbour at six in the morning, carrying bread and mail " * 9
    with pytest.warns(CutWarning, match="the question leaves no room for its context, cut to 6"):
        found = answer("how long does it take to boil a potato and more? " * 9, context)
    assert context[found["start"] : found["end"]] == found["answer"] != ""
    assert len(guess.lengths) > 9
    assert max(guess.lengths) <= SEQ_LEN


def test_a_long_question_stays_whole_where_both_fit(answer, recwarn):
    found = answer("the the the the the the the the the the the the the the", "the six")
    assert found["answer"]
    assert not recwarn.list


@pytest.mark.parametrize(
    ("question", "context", "options", "error", "message"),
    [
        ("", "a", {}, InputError, "the question is empty"),
        ("a", "", {}, InputError, "the context is empty"),
        (["a", "b"], ["c"], {}, InputError, "2 questions and 1 contexts"),
        ("a", None, {}, InputError, "a context of type NoneType given"),
        ("a", "b", {"top_k": 0}, InputError, "top_k 0 given: it must be 1 or more"),
        ("a", "b", {"doc_stride": 40}, InputError, "doc_stride 40 given: they leave no room"),
        ("a", "b", {"topk": 1}, ConfigError, "argument 'topk': options are top_k, doc_stride"),
    ],
)
def test_what_cannot_be_answered_is_refused(answer, question, context, options, error, message):
    with pytest.raises(error, match=message):
        answer(question, context, **options)
