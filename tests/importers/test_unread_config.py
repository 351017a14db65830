"""Configs whose fields TensorFlow's classes ignore: refused by name, before anything is started."""

from __future__ import annotations

import pytest
from small_models import VIT

from tvm_sparse.cache.store import Cache
from tvm_sparse.config.model import ModelSpec
from tvm_sparse.errors import ConfigError, FrontendError
from tvm_sparse.importers.import_model import import_model
from tvm_sparse.importers.tensorflow.unread_config import UNREAD
from tvm_sparse.sources.architecture import max_seq_len
from tvm_sparse.sources.source import resolve_source

pytestmark = pytest.mark.unit


def imported(directory, cache_dir, monkeypatch):
    def no_child(*arguments):
        raise AssertionError("a process was started")

    monkeypatch.setattr("tvm_sparse.importers.import_model.call", no_child)
    spec = ModelSpec(str(directory), seq_len=8, importer="tensorflow")
    return import_model(spec, resolve_source(spec), Cache(cache_dir))


@pytest.mark.parametrize(
    ("kind", "changes", "named"),
    [
        ("bert", {"position_embedding_type": "relative_key"}, "'relative_key'"),
        ("bert", {"position_embedding_type": "relative_key_query"}, "'relative_key_query'"),
        ("bert", {"model_type": "electra", "position_embedding_type": "relative_key"}, "electra"),
        (
            "bert",
            {"tie_word_embeddings": False, "architectures": ["BertForMaskedLM"]},
            "tie_word_embeddings False",
        ),
        ("bert", {"layer_norm_type": "no_norm"}, "layer_norm_type 'no_norm'"),
        ("vit", {"qkv_bias": False}, "qkv_bias False"),
        ("resnet", {"downsample_in_bottleneck": True}, "downsample_in_bottleneck True"),
    ],
)
def test_what_tensorflow_ignores_is_refused(
    kind, changes, named, config_dir, cache_dir, monkeypatch
):
    with pytest.raises(FrontendError, match=r"TensorFlow's class for \w+ ignores") as caught:
        imported(config_dir(kind, **changes), cache_dir, monkeypatch)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("bert", {"position_embedding_type": "absolute"}),
        # Without that head nothing is tied.
        ("bert", {"tie_word_embeddings": False}),
        ("bert", {"qkv_bias": False}),
        ("vit", {**VIT, "qkv_bias": True}),
    ],
)
def test_what_makes_no_difference_passes(kind, changes, config_dir, cache_dir, monkeypatch):
    with pytest.raises(AssertionError, match="a process was started"):
        imported(config_dir(kind, **changes), cache_dir, monkeypatch)


def test_a_field_stands_once():
    assert len({field.name for field in UNREAD}) == len(UNREAD)


def test_positions_counted_from_padding_need_one_and_cost_their_number():
    roberta = {"model_type": "roberta", "max_position_embeddings": 514}
    limits = [max_seq_len({**roberta, "pad_token_id": padding}) for padding in (0, 1, 3)]
    assert limits == [513, 512, 510]
    assert max_seq_len(roberta) == 512  # the class's padding is 1
    # MPNet's class counts from 1 whatever the config says.
    assert max_seq_len({**roberta, "model_type": "mpnet", "pad_token_id": 5}) == 512
    assert max_seq_len({**roberta, "model_type": "bert", "pad_token_id": 5}) == 514
    with pytest.raises(ConfigError, match="pad_token_id null: roberta counts positions from it"):
        max_seq_len({**roberta, "pad_token_id": None})
