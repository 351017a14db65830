"""What cannot be imported is refused in one line that says what it is; what can, by its class."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from config_dirs import BERT

from tvm_sparse.config.model import ModelSpec
from tvm_sparse.errors import BuildError, ConfigError, FrontendError
from tvm_sparse.importers.refusal import reason, refusing
from tvm_sparse.importers.tensorflow.huggingface import check_tensors, load_model
from tvm_sparse.importers.tensorflow.importer import import_model
from tvm_sparse.progress import silent
from tvm_sparse.sources.source import resolve_source

T5 = {"model_type": "t5", "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 1, "num_heads": 4}
FUNNEL = {"model_type": "funnel", "d_model": 32, "n_head": 4, "d_head": 8, "d_inner": 64}
SIZES = {"vocab_size": 96, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}
AUDIO = {
    "num_hidden_layers": 1,
    "conv_dim": [8],
    "conv_stride": [2],
    "conv_kernel": [3],
    "num_feat_extract_layers": 1,
}


def directory_of(folder, changes):
    (folder / "config.json").write_text(json.dumps({**SIZES, **changes}))
    return folder


def source_of(directory, seq_len: int = 16):
    spec = ModelSpec(str(directory), seq_len=seq_len)
    return spec, resolve_source(spec)


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {**T5, "architectures": ["T5Model"]},
            r"T5MainLayer: You have to specify either decoder_input",
        ),
        (
            {**AUDIO, "model_type": "wav2vec2", "architectures": ["Wav2Vec2Model"]},
            "TFWav2Vec2Model takes input_values, attention_mask",
        ),
        (
            {
                "model_type": "deberta",
                "num_hidden_layers": 1,
                "relative_attention": True,
                "pos_att_type": ["p2c"],
            },
            "TFDebertaDisentangledSelfAttention: it branches on the values of tensors",
        ),
        (
            {
                "model_type": "gpt2",
                "architectures": ["GPT2Model"],
                "n_positions": 8,
                "n_layer": 1,
            },
            "takes at most 8 tokens",
        ),
    ],
    ids=["decoder", "audio", "branches", "length"],
)
def test_what_cannot_be_imported_is_refused_in_one_line(changes, message, tmp_path):
    spec, source = source_of(directory_of(tmp_path, changes))
    with pytest.raises((FrontendError, ConfigError), match=message) as caught:
        import_model(spec, source, silent)
    assert caught.value.exit_code == 2
    assert len(str(caught.value)) < 500
    assert "\n" not in str(caught.value)


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("changes", "architecture"),
    [
        (T5, "T5EncoderModel"),
        ({**FUNNEL, "block_sizes": [1, 1]}, "FunnelBaseModel"),
        ({"model_type": "roberta", "num_hidden_layers": 1}, "BertModel"),
    ],
)
def test_the_class_is_the_one_the_config_names(changes, architecture, tmp_path):
    _, source = source_of(directory_of(tmp_path, {**changes, "architectures": [architecture]}))
    # A class that reads another type of config is none of this model's.
    expected = "TFRobertaModel" if architecture == "BertModel" else f"TF{architecture}"
    assert type(load_model(source, 0)).__name__ == expected


@pytest.mark.unit
def test_what_a_child_may_not_hide_passes_through():
    for error in (BuildError("ours"), OSError(28, "full"), MemoryError()):
        with pytest.raises(type(error)), refusing("it cannot be imported"):
            raise error
    refused = pytest.raises(FrontendError, match="it cannot be imported: KeyError: 'size'")
    with refused, refusing("it cannot be imported"):
        raise KeyError("size")


@pytest.mark.unit
def test_the_reason_is_what_keras_wraps():
    error = ValueError(
        "Exception encountered when calling layer 'wpe' (type Embedding).\n\n"
        "{{function_node __wrapped__Gather}} indices = 9 is not in [0, 8) [Op:Gather] name:\n\n"
        "Call arguments received by layer 'wpe' (type Embedding):\n  • inputs=tf.Tensor"
    )
    assert reason(error) == "Embedding: indices = 9 is not in [0, 8)"
    assert len(reason(ValueError("x" * 1000))) == 300


@pytest.mark.unit
def test_the_line_that_pytorch_cannot_export_is_named():
    error = RuntimeError(
        "Could not guard on data-dependent expression Eq(u0, 1) (unhinted: Eq(u0, 1)).\n\n"
        "Caused by: (transformers/models/longformer/modeling_longformer.py:554 in forward)\nFor"
    )
    wanted = "it branches on the values of tensors, which is not imported"
    assert reason(error) == f"{wanted} (modeling_longformer.py:554)"
    assert reason(RuntimeError("Could not guard on data-dependent expression u0")) == wanted


@pytest.mark.unit
def test_a_tensor_that_no_graph_holds_is_named():
    dtype = SimpleNamespace(size=4)
    variable = SimpleNamespace(name="bert/embeddings/weight:0", shape=(2**20, 512), dtype=dtype)
    model = SimpleNamespace(name="tf_bert", variables=[variable])
    with pytest.raises(FrontendError, match=r"weight bert/embeddings/weight has the shape"):
        check_tensors(model)
    variable.shape = (2**19, 512)
    check_tensors(model)


@pytest.mark.unit
def test_padding_is_in_the_vocabulary(config_dir):
    for padding, allowed in ((BERT["vocab_size"], False), (BERT["vocab_size"] - 1, True)):
        directory = config_dir("bert", pad_token_id=padding)
        if allowed:
            source_of(directory)
            continue
        with pytest.raises(ConfigError, match="has pad_token_id 96: its vocabulary has the ids 0"):
            source_of(directory)
