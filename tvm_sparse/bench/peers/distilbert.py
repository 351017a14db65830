"""DistilBERT as the BERT it is: no token types, no pooler, other names.

ONNX Runtime's transformer optimiser recognises BERT's attention but not the form in which
DistilBERT masks its scores (a `Where`, whose mask it takes for one without a value).
"""

from __future__ import annotations

from typing import Any

_ARCHITECTURE = "DistilBertModel"
# What models with a head call their encoder.
_ENCODER = "distilbert"

_NAMES = (
    ("transformer.layer.", "encoder.layer."),
    ("attention.q_lin.", "attention.self.query."),
    ("attention.k_lin.", "attention.self.key."),
    ("attention.v_lin.", "attention.self.value."),
    ("attention.out_lin.", "attention.output.dense."),
    ("sa_layer_norm.", "attention.output.LayerNorm."),
    ("ffn.lin1.", "intermediate.dense."),
    ("ffn.lin2.", "output.dense."),
    ("output_layer_norm.", "output.LayerNorm."),
)
_LAYER_NORM_EPSILON = 1e-12


def with_bert(model: Any) -> Any:
    """Return a model with a BERT for its `DistilBertModel`; any other model as it is.

    A model with a head on it is changed.
    """
    if type(model).__name__ == _ARCHITECTURE:
        return as_bert(model)
    encoder = getattr(model, _ENCODER, None)
    if encoder is not None:
        setattr(model, _ENCODER, as_bert(encoder))
    return model


def as_bert(model: Any) -> Any:
    """Return a `BertModel` that computes what a `DistilBertModel` does, and attends as it does."""
    import torch
    import transformers

    config = model.config
    bert = transformers.BertModel(
        transformers.BertConfig(
            vocab_size=config.vocab_size,
            hidden_size=config.dim,
            num_hidden_layers=config.n_layers,
            num_attention_heads=config.n_heads,
            intermediate_size=config.hidden_dim,
            hidden_act=config.activation,
            max_position_embeddings=config.max_position_embeddings,
            layer_norm_eps=_LAYER_NORM_EPSILON,
            type_vocab_size=1,
            attn_implementation=config._attn_implementation,
        ),
        add_pooling_layer=False,
    )
    weights = {bert_name(name): value for name, value in model.state_dict().items()}
    weights["embeddings.token_type_embeddings.weight"] = torch.zeros(1, config.dim)
    bert.load_state_dict(weights)
    return bert.eval()


def bert_name(name: str) -> str:
    """Return what BERT calls a parameter of DistilBERT."""
    for own, other in _NAMES:
        name = name.replace(own, other)
    return name
