import numpy as np
import pytest

from tvm_sparse.errors import ConfigError, InputError
from tvm_sparse.fidelity.views import score
from tvm_sparse.tasks.question_answering import answer_f1
from tvm_sparse.tasks.sequence_classification import label_ids, macro_f1
from tvm_sparse.text.tokens import Tokens, load_tokenizer

pytestmark = pytest.mark.unit
NONE = Tokens({})
TASK = "sequence-classification"


def test_labels_are_names_or_numbers():
    assert label_ids(["Yes", "1", " no "], ["NO", "YES"]) == [1, 1, 0]
    with pytest.raises(InputError, match="'maybe' given"):
        label_ids(["maybe"], ["no", "yes"])
    with pytest.raises(InputError, match="0 to 1"):
        label_ids(["2"], ["no", "yes"])


def test_macro_f1_by_hand():
    wanted, found = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    # class 0: 1 hit of 2 and 1; class 1: 2 hits of 2 and 3
    assert macro_f1(wanted, found) == pytest.approx((2 / 3 + 4 / 5) / 2)


def test_accuracy_and_f1_of_classes():
    view = {"logits": np.array([[2.0, 1], [0, 1], [3, 1], [0, 4]])}
    found = score(TASK, view, ["neg", "pos", "pos", "pos"], NONE, {"id2label": {"0": "neg",
                  "1": "pos"}})  # fmt: skip
    assert found["accuracy"] == 0.75
    assert found["f1"] == pytest.approx((2 / 3 + 4 / 5) / 2)


def test_correlations_of_a_regression():
    view = {"logits": np.array([[1.0], [2], [3], [10]], np.float32)}
    found = score(TASK, view, ["1", "2", "3", "4"], NONE, {})
    assert found["spearman"] == pytest.approx(1)
    assert found["pearson"] == pytest.approx(np.corrcoef([1, 2, 3, 10], [1, 2, 3, 4])[0, 1])
    with pytest.raises(InputError, match="is none"):
        score(TASK, view, ["1", "2", "x", "4"], NONE, {})


def test_words_of_answers():
    assert answer_f1("The red bird!", "red Bird") == 1
    assert answer_f1("red bird", "red fish") == 0.5
    assert answer_f1("", "") == 1
    assert answer_f1("bird", "") == 0


def test_answers_are_found_in_the_text(dense_dir):
    tokens = load_tokenizer(dense_dir).encode(["a bird\tthe red fish eats"] * 3, 12)
    view = {name: np.full((3, 12), -9.0) for name in ("start_logits", "end_logits")}
    view["start_logits"][:2, 5] = view["end_logits"][:2, 6] = 9  # red fish
    view["start_logits"][2, 0] = view["end_logits"][2, 0] = 9  # no answer
    labels = ["red fish|a fish", "the red fish eats", "[]"]
    found = score("question-answering", view, labels, tokens, {})
    assert found["exact_match"] == pytest.approx(2 / 3)
    assert found["f1"] == pytest.approx((1 + 2 * 2 / 5 + 1) / 3)


def test_other_tasks_have_no_label_a_line():
    with pytest.raises(ConfigError, match="--labels given"):
        score("masked-lm", {}, ["a"], NONE, {})
