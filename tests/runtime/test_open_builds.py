"""Builds of any batch and length: any shape within the limits, texts of many lengths together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from encoder_builds import MOST, OUTPUTS, open_encoder
from relax_modules import random_values
from tolerances import MODEL

from tvm_sparse.errors import InputError
from tvm_sparse.runtime.artifact import load
from tvm_sparse.runtime.compare import first_difference
from tvm_sparse.runtime.loaded_model import LoadedModel

pytestmark = pytest.mark.ir


@pytest.fixture(params=["dense", "sparse"])
def model(request: pytest.FixtureRequest, open_artifacts: dict[str, Path]) -> LoadedModel:
    return load(open_artifacts[request.param], threads=2)


def inputs_at(batch: int, seq_len: int, seed: int = 0) -> dict[str, np.ndarray]:
    inputs, _ = random_values(open_encoder()[0], seed, batch, seq_len)
    return {"input_ids": inputs["input_ids"], "mask_ids": np.ones((batch, seq_len), np.int32)}


def sequences_of(*lengths: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    rows = [inputs_at(1, length, length) for length in lengths]
    return [row["input_ids"][0] for row in rows], [row["mask_ids"][0] for row in rows]


@pytest.mark.parametrize("shape", [(1, 1), (1, 16), (2, 33), MOST], ids=str)
def test_any_shape(open_artifacts: dict[str, Path], shape: tuple[int, int]) -> None:
    dense, sparse = (load(path, threads=2) for path in open_artifacts.values())
    inputs = inputs_at(*shape)
    first, second = dense.run(**inputs), sparse.run(**inputs)
    for name, value in first.items():
        np.testing.assert_allclose(second[name], value, **MODEL)
    assert first[OUTPUTS[0]].shape == (*shape, 64)
    assert first[OUTPUTS[1]].shape == (shape[0], 64)
    assert first_difference(dense, sparse, inputs, 1e-4, 1e-4) is None


def test_sequences_of_many_lengths_are_what_each_is_alone(model: LoadedModel) -> None:
    # More than the build takes in a rectangle.
    lengths = (5, MOST[1], 1, 33, 17, 16, 48, 2, 9, 31, 32)
    ids, masks = sequences_of(*lengths)
    results = model.run_ragged(ids, mask_ids=masks)
    for length, one, mask, result in zip(lengths, ids, masks, results, strict=True):
        assert result[OUTPUTS[0]].shape == (length, 64)
        assert result[OUTPUTS[1]].shape == (64,)
        alone = model.run(input_ids=one[None], mask_ids=mask[None])
        for name, value in result.items():
            np.testing.assert_array_equal(value, alone[name][0])


def test_micro_batches_come_to_the_same(model: LoadedModel, monkeypatch) -> None:
    inputs = inputs_at(*MOST)
    whole = model.run(**inputs)
    monkeypatch.setattr("tvm_sparse.runtime.tile_map.MICRO_BATCH_TOKENS", 30)
    assert len(model._shapes.rectangle(inputs)) == 4
    for name, value in model.run(**inputs).items():
        np.testing.assert_array_equal(value, whole[name])
    calls = model.profile(inputs, repeats=1)
    assert [call.kernel for call in calls] == [call.kernel for call in model.metadata.calls]


@pytest.mark.parametrize(
    ("ids", "mask", "message"),
    [
        (
            np.zeros((1, 49), int),
            np.ones((1, 49)),
            "input input_ids has 49 tokens, the build takes",
        ),
        (np.zeros((10, 4), int), np.ones((10, 4)), "has 10 sequences, the build takes 1 to 9: cut"),
        (
            np.zeros((1, 4), int),
            np.ones((1, 5)),
            "mask_ids has 5 tokens, input_ids has 4: give all",
        ),
        (
            np.full((1, 4), 2),
            np.ones((1, 4)),
            r"input input_ids holds 2 at \[0, 0\], the model has",
        ),
        ([1, 0], [1, 1], r"input input_ids has shape \(2,\), the build takes input_ids int32\["),
    ],
)
def test_wrong_rectangles(open_artifacts: dict[str, Path], ids, mask, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load(open_artifacts["dense"]).run(input_ids=ids, mask_ids=np.asarray(mask).astype(int))


@pytest.mark.parametrize(
    ("ids", "masks", "message"),
    [
        ([[1], []], [[1], []], "^sequence 1 has 0 tokens, the build takes 1 to 48: leave it out"),
        ([[1] * 49], [[1] * 49], "^sequence 0 has 49 tokens, the build takes 1 to 48: cut it, or"),
        ([], [], "^no sequences given: give one at least"),
        (
            [[1], [1, 2]],
            [[1], [1, 1]],
            r"^input input_ids of sequence 1 holds 2 at \[1\], the model",
        ),
        ([[1], [1, 0]], [[1], [1]], "^input mask_ids has other lengths than input_ids"),
        ([[[1]]], [[1]], r"^input input_ids of sequence 0 has shape \(1, 1\): give it as one list"),
    ],
)
def test_wrong_sequences(open_artifacts: dict[str, Path], ids, masks, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load(open_artifacts["dense"]).run_ragged(ids, mask_ids=masks)


def test_a_model_that_mixes_padded_rows_refuses(open_artifacts: dict[str, Path]) -> None:
    model = load(open_artifacts["dense"])
    ids, masks = sequences_of(2, 3)
    model._shapes = replace(model._shapes, mixes_tokens="mean")
    with pytest.raises(InputError, match=r"^mean of this model computes across the tokens of"):
        model.run_ragged(ids, mask_ids=masks)
