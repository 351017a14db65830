"""Builds of one shape: what is shorter is padded, and what was padded is cut."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from tvm_sparse.errors import InputError
from tvm_sparse.model.facts import TensorSpec
from tvm_sparse.runtime.model_shapes import shapes_of

pytestmark = pytest.mark.unit

INPUTS = (
    TensorSpec("input_ids", (2, 4), "int32", 9),
    TensorSpec("attention_mask", (2, 4), "int32"),
    TensorSpec("token_type_ids", (2, 4), "int32", 2),
)
OUTPUTS = (
    TensorSpec("hidden", (2, 4, 8), "float32"),
    TensorSpec("pooled", (2, 4), "float32"),  # as wide as a text is long
    TensorSpec("start_logits", (2, 4), "float32"),
)


def shapes(inputs=INPUTS, outputs=OUTPUTS, architecture="BertModel", pad_token_id=7):
    """What an artifact takes whose metadata say so."""
    metadata = SimpleNamespace(
        inputs=inputs,
        outputs=outputs,
        is_open=False,
        spec={"model": {"batch": 2, "seq_len": 4}},
        model=SimpleNamespace(config={"pad_token_id": pad_token_id}, architecture=architecture),
    )
    return shapes_of(metadata, 1, check_ids=True)


def test_a_short_text_is_padded_and_its_outputs_are_cut() -> None:
    found = shapes()
    (part,) = found.rectangle({"input_ids": [[1, 2, 3]]})
    ids, mask, types = part.arguments
    # Nobody looks at the second text.
    assert ids.tolist() == [[1, 2, 3, 7]] * 2
    assert mask.tolist() == [[1, 1, 1, 0]] * 2
    assert types.tolist() == [[0, 0, 0, 0]] * 2
    cut = [np.zeros(spec.shape)[part.within(spec)].shape for spec in found.outputs]
    assert cut == [(1, 3, 8), (1, 4), (1, 3)]


def test_texts_of_many_lengths_fill_batches() -> None:
    found = shapes()
    texts = [[1, 2, 3, 4], [5], [6, 7]]
    types = [[0, 0, 1, 1], [1], [1, 0]]
    first, second = found.ragged(texts, {"token_type_ids": types})
    assert (first.places, first.lengths) == ([1, 2], (1, 2))
    assert first.arguments[0].tolist() == [[5, 7, 7, 7], [6, 7, 7, 7]]
    assert first.arguments[1].tolist() == [[1, 0, 0, 0], [1, 1, 0, 0]]
    assert first.arguments[2].tolist() == [[1, 0, 0, 0], [1, 0, 0, 0]]
    assert (second.places, second.lengths) == ([0], (4,))
    hidden, pooled, _ = found.outputs
    assert np.zeros(hidden.shape)[first.of_sequence(hidden, 1)].shape == (2, 8)
    assert np.zeros(pooled.shape)[first.of_sequence(pooled, 1)].shape == (4,)


def test_without_a_mask_every_text_has_the_length_of_the_build() -> None:
    found = shapes(INPUTS[:1])
    (part,) = found.rectangle({"input_ids": [[1, 2, 3, 4]]})
    assert part.arguments[0].shape == (2, 4)
    with pytest.raises(InputError, match=r"^input input_ids has 3 tokens, the build is for 4 and"):
        found.rectangle({"input_ids": [[1, 2, 3]]})
    with pytest.raises(InputError, match="has 1 tokens, the build is for 4 and"):
        found.ragged([[1, 2, 3, 4], [1]], {})


def test_outputs_with_one_number_a_token_are_known_by_name() -> None:
    scores = (TensorSpec("logits", (2, 4), "float32"),)
    axes = {
        name: shapes(outputs=scores, architecture=name).outputs[0].axes
        for name in ("ElectraForPreTraining", "BertForSequenceClassification")
    }
    assert axes == {
        "ElectraForPreTraining": ("batch", "seq_len"),
        "BertForSequenceClassification": ("batch", ""),
    }


@pytest.mark.parametrize(("given", "used"), [(7, 7), (None, 0), (-1, 0), (9, 0)])
def test_padding_is_an_id_that_the_model_has(given, used) -> None:
    assert shapes(pad_token_id=given).pad_id == used


def test_ids_are_given_once() -> None:
    with pytest.raises(InputError, match=r"^input input_ids is given twice: by itself and by name"):
        shapes().ragged([[1]], {"input_ids": [[1]]})


def test_inputs_that_are_no_texts_lack_sequences_alone() -> None:
    specs = (TensorSpec("x", (2, 3, 5), "float32"), TensorSpec("scale", (2,), "float32"))
    found = shapes(specs)
    x = np.ones((1, 3, 5), np.float32)
    (part,) = found.rectangle({"x": x, "scale": [2]})
    np.testing.assert_array_equal(part.arguments[0], np.ones((2, 3, 5)))
    assert part.arguments[1].tolist() == [2, 2]
    with pytest.raises(
        InputError, match=r"^input x has shape \(1, 2, 5\), the build takes x float"
    ):
        found.rectangle({"x": x[:, :2], "scale": [2]})
    with pytest.raises(InputError, match=r"^the model takes x float32.*: it has no sequences of t"):
        found.ragged([[1.0]], {"scale": [[2]]})
