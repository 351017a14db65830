"""How tokenised texts are given to a model."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from tvm_sparse.errors import InputError
from tvm_sparse.model.facts import TensorSpec
from tvm_sparse.text.batches import Batches

pytestmark = pytest.mark.unit

ENCODINGS = [SimpleNamespace(ids=[i] * (i + 1), type_ids=[i % 2] * (i + 1)) for i in range(5)]


class Model:
    """Returns the ids and types it was given, and keeps how many texts came at a time."""

    def __init__(self, *names: str, most: tuple[int, int] = (3, 8)) -> None:
        self.inputs = tuple(TensorSpec(name, most, "int32") for name in names)
        self.runs: list[int] = []

    def run_ragged(self, sequences, **more):
        self.runs.append(len(sequences))
        types = more.get("token_type_ids", [None] * len(sequences))
        return [{"ids": ids, "types": one} for ids, one in zip(sequences, types, strict=True)]

    def run(self, input_ids, **more):
        (found,) = self.run_ragged(input_ids, **more)
        return {name: np.array([value]) for name, value in found.items()}


def test_no_more_at_once_than_the_build_takes():
    for at_once, runs in ((32, [3, 2]), (2, [2, 2, 1])):
        model = Model("input_ids", "attention_mask")
        batches = Batches(model)
        assert batches.most_tokens == 8
        found = list(batches.run(iter(ENCODINGS), at_once))
        assert [one["ids"] for one in found] == [one.ids for one in ENCODINGS]
        assert model.runs == runs


def test_long_texts_do_not_fill_the_memory_together():
    lengths = [100, 1500, 600, 600, 600, 3000, 5]
    texts = [SimpleNamespace(ids=[0] * length) for length in lengths]
    model = Model("input_ids", most=(32, 4000))
    assert [len(one["ids"]) for one in Batches(model).run(texts, 32)] == lengths
    assert model.runs == [2, 3, 1, 1]


def test_types_are_given_to_who_is_told_of_them():
    names = ("input_ids", "token_type_ids")
    for model, told, types in (
        (Model(*names), True, [one.type_ids for one in ENCODINGS]),
        (Model(*names), False, [None] * 5),
        (Model("input_ids"), True, [None] * 5),
    ):
        assert [o["types"] for o in Batches(model, told).run(ENCODINGS, 8)] == types


def test_texts_that_cannot_share_a_run_have_one_each():
    model = Model("input_ids", "token_type_ids")
    found = list(Batches(model, together=False).run(ENCODINGS, 8))
    assert [one["ids"].tolist() for one in found] == [one.ids for one in ENCODINGS]
    assert [one["types"].tolist() for one in found] == [one.type_ids for one in ENCODINGS]
    assert model.runs == [1] * 5


def test_a_model_of_something_else_is_refused():
    with pytest.raises(InputError, match="takes pixel_values: give a model of texts"):
        Batches(Model("pixel_values"))
