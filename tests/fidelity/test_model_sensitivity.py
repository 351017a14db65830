from dataclasses import replace

import pytest
from tiny_bert import TEXTS

from tvm_sparse.api.models import load_model
from tvm_sparse.errors import ConfigError, InputError, SparsityError
from tvm_sparse.fidelity.model_sensitivity import SPARSITIES, sensitivity
from tvm_sparse.model.facts import WeightsFacts

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def model(dense_dir, shared_cache):
    return load_model(str(dense_dir), cache_dir=shared_cache, batch=4, seq_len=16)


def run(model, text, **changes):
    options = {"block_shape": (4, 1), "threads": 1, **changes}
    block = options.pop("block_shape")
    return sensitivity(model, str(text), block, **options)


def test_every_eligible_layer_is_measured(model, text_file):
    found = run(model, text_file)
    assert len(found.layers) == 12  # two encoder layers of six; the pooler stays dense
    assert found.texts == len(TEXTS)
    assert all(layer.sparsities == SPARSITIES for layer in found.layers)
    assert all(layer.losses[-1] > 0 for layer in found.layers)


def test_layers_and_texts_are_chosen(model, text_file):
    found = run(model, text_file, include=["*query*"], limit=3)
    assert [len(found.layers), found.texts] == [2, 3]


def test_what_cannot_be_measured_is_refused(model, text_file, tmp_path):
    seeded = replace(model.facts, weights=WeightsFacts("random", detail="seed 0"))
    with pytest.raises(ConfigError, match="--sensitivity given"):
        run(replace(model, facts=seeded), text_file)
    with pytest.raises(InputError, match="cannot be read"):
        run(model, tmp_path / "none.txt")
    with pytest.raises(SparsityError, match="divides none"):
        run(model, text_file, block_shape=(7, 1))
    with pytest.raises(SparsityError, match="matches none"):
        run(model, text_file, exclude=["*nothing*"])
