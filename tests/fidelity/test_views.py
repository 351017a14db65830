import numpy as np
import pytest
from scipy.special import rel_entr, softmax

from tvm_sparse.errors import ConfigError, InputError
from tvm_sparse.fidelity.views import collect, compare
from tvm_sparse.tasks.encoder import cosines, mean_pooled
from tvm_sparse.tasks.measures import kl_nats
from tvm_sparse.tasks.question_answering import best_spans
from tvm_sparse.tasks.registry import on_texts
from tvm_sparse.text.tokens import Tokens

pytestmark = pytest.mark.unit
RNG = np.random.default_rng(0)


def test_cosines():
    a = RNG.standard_normal((6, 5)).astype(np.float32)
    b = RNG.standard_normal((6, 5)).astype(np.float32)
    wanted = [x @ y / np.linalg.norm(x) / np.linalg.norm(y) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(cosines(a, b), wanted, rtol=1e-5)
    a[0] = b[0] = 0
    b[1] = 0
    assert cosines(a, b)[:2].tolist() == [1.0, 0.0]


def test_kl_is_that_of_the_softmax():
    a, b = (RNG.standard_normal((7, 4)).astype(np.float32) * 3 for _ in range(2))
    wanted = rel_entr(softmax(a.astype(float), axis=1), softmax(b.astype(float), axis=1))
    assert kl_nats(a, b) == pytest.approx(wanted.sum(axis=1).mean())
    assert kl_nats(a, a + 5) == pytest.approx(0, abs=1e-9)
    assert kl_nats(a[:, :1], b[:, :1]) == pytest.approx(np.mean((a[:, 0] - b[:, 0]) ** 2) / 2)


def test_best_spans_end_after_they_start_and_are_short():
    start, end = np.zeros((3, 50)), np.zeros((3, 50))
    start[0, 7], end[0, 9] = 5, 5
    start[1, 9], end[1, 7] = 5, 5  # the wrong way round: only one of them can count
    start[2, 1], end[2, 45] = 5, 5  # too long
    spans = best_spans(start, end)
    assert spans[0].tolist() == [7, 9]
    assert all(last >= first and last - first < 30 for first, last in spans)


def test_embeddings():
    a = RNG.standard_normal((20, 8)).astype(np.float32)
    same = compare("encoder", {"embeddings": a}, {"embeddings": a.copy()})
    assert same == {
        "loss": 0.0,
        "cosine_mean": 1.0,
        "cosine_p05": 1.0,
        "cosine_min": 1.0,
        "neighbour_agreement": 1.0,
    }
    b = a.copy()
    b[3] = -b[3]
    found = compare("encoder", {"embeddings": a}, {"embeddings": b})
    assert found["cosine_min"] == pytest.approx(-1)
    assert found["loss"] == pytest.approx(2 / 20)
    assert found["neighbour_agreement"] < 1


@pytest.mark.parametrize("task", ["sequence-classification", "token-classification", "masked-lm"])
def test_classes(task):
    a = np.array([[2.0, 0], [0, 2], [3, 1], [1, 4]], np.float32)
    b = np.array([[2.0, 0], [2, 0], [3, 1], [1, 4]], np.float32)
    found = compare(task, {"logits": a}, {"logits": b})
    assert found["agreement"] == 0.75
    assert found["loss"] == found["kl_nats"] > 0


def test_answer_spans():
    view = {name: np.full((2, 6), -9.0) for name in ("start_logits", "end_logits")}
    view["start_logits"][:, 1] = view["end_logits"][:, 4] = 9
    other = {name: value.copy() for name, value in view.items()}
    other["end_logits"][1, [4, 2]] = -9, 9  # 1..2 instead of 1..4
    found = compare("question-answering", view, other)
    assert found["exact_match"] == 0.5
    assert found["overlap_f1"] == pytest.approx((1 + 2 * 2 / (4 + 2)) / 2)


def test_versions_of_other_models_are_refused():
    with pytest.raises(InputError, match="versions of one model"):
        compare("encoder", {"embeddings": np.ones((2, 3))}, {"embeddings": np.ones((2, 4))})
    with pytest.raises(InputError, match="nothing"):
        compare("encoder", {"embeddings": np.ones((2, 3))}, {"logits": np.ones((2, 3))})


def test_padding_is_no_part_of_an_embedding():
    hidden = RNG.standard_normal((1, 3, 4)).astype(np.float32)
    pooled = mean_pooled(hidden, np.array([[1, 1, 0]]))
    np.testing.assert_allclose(pooled[0], hidden[0, :2].mean(axis=0), rtol=1e-6)


@pytest.mark.parametrize(
    ("task", "names", "rows"),
    [
        ("encoder", ["embeddings"], 5),
        ("sequence-classification", ["logits"], 5),
        ("token-classification", ["logits"], 15),
        ("question-answering", ["end_logits", "start_logits"], 5),
        ("masked-lm", ["logits"], 15),
    ],
)
def test_what_is_kept_of_each_task(task, names, rows):
    ids = np.tile(np.arange(4, dtype=np.int32), (5, 1))
    mask = np.array([[1, 1, 1, 0]] * 5, np.int32)
    tokens = Tokens({"input_ids": ids, "attention_mask": mask})

    def forward(inputs):
        hidden = inputs["input_ids"][:, :, None] * np.ones((1, 1, 6), np.float32)
        if task == "encoder":
            return {"last_hidden_state": hidden}
        if task == "question-answering":
            return dict.fromkeys(("start_logits", "end_logits"), hidden[:, :, 0])
        return {"logits": hidden[:, 0] if task == "sequence-classification" else hidden}

    shares = []
    view = collect(forward, tokens, ("input_ids",), 2, task, shares.append)
    assert sorted(view) == names
    assert all(len(value) == rows for value in view.values())
    assert shares == [0.4, 0.8, 1.0]
    if task == "question-answering":
        assert (best_spans(*view.values()) < 3).all()  # never in the padding


def test_images_are_not_judged_on_texts():
    with pytest.raises(ConfigError, match="image-classification"):
        on_texts("image-classification")
