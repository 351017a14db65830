"""What TensorFlow's classes of transformers ignore in a config that PyTorch's honour.

A build of such a model agrees with TensorFlow and is wrong all the same, so it is refused by the
name of the field. The table was made by comparing transformers 4.54's `modeling_tf_*.py` with
`modeling_*.py`, and by running miniatures of every family under both with one field changed.
Fields that only matter in training, and those that stored weights make up for, are not in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm_sparse.errors import FrontendError
from tvm_sparse.sources.source import ModelSource


@dataclass(frozen=True)
class UnreadField:
    """A field of config.json that TensorFlow's classes do not read.

    Attributes
    ----------
    name : str
        Of the field.
    computed : tuple
        The values as if it had which they compute; an absent field is one of them.
    families : frozenset of str
        The types of model (`model_type`) concerned.
    task : str
        The only task whose classes read it in PyTorch; empty for all.
    """

    name: str
    computed: tuple[Any, ...]
    families: frozenset[str]
    task: str = ""

    def ignored_in(self, source: ModelSource) -> bool:
        """Whether a model's config has a value that TensorFlow's class would not honour."""
        return (
            source.config["model_type"] in self.families
            and self.task in ("", source.task)
            and self.name in source.config
            and source.config[self.name] not in self.computed
        )


def _field(name: str, computed: Any, families: str, task: str = "") -> UnreadField:
    return UnreadField(name, (computed,), frozenset(families.split()), task)


UNREAD = (
    _field(
        "position_embedding_type",
        "absolute",
        "albert bert camembert electra roberta roberta-prelayernorm xlm-roberta",
    ),
    _field(
        "tie_word_embeddings",
        True,
        "albert bert camembert convbert deberta deberta-v2 distilbert electra esm flaubert funnel "
        "layoutlm longformer mobilebert mpnet rembert roberta roberta-prelayernorm roformer tapas "
        "xlm xlm-roberta",
        task="masked-lm",
    ),
    _field("is_decoder", False, "convbert mobilebert mpnet roformer"),
    _field("qkv_bias", True, "deit vit"),
    _field("downsample_in_bottleneck", False, "resnet"),
    _field("scale_attn_by_inverse_layer_idx", False, "gpt2 gpt-sw3"),
    _field("scale_attn_weights", True, "gpt2 gpt-sw3"),
    _field("enable_bias", True, "opt"),
    _field("layer_norm_elementwise_affine", True, "opt"),
    _field("rope_scaling", None, "mistral"),
    # nn_pruning writes it for models without layer norms; PyTorch's class is patched for them.
    _field("layer_norm_type", "layer_norm", "bert"),
    # The other way round: PyTorch's layers take this whatever the config says.
    _field("layer_norm_epsilon", 1e-6, "ctrl"),
)


def check_config(source: ModelSource) -> None:
    """Refuse a model that TensorFlow would compute differently from PyTorch.

    Raises
    ------
    FrontendError
        Its config asks for what TensorFlow's class ignores.
    """
    ignored = [field for field in UNREAD if field.ignored_in(source)]
    if ignored:
        given = ", ".join(f"{field.name} {source.config[field.name]!r}" for field in ignored)
        known = ", ".join(f"{field.name} {field.computed[0]!r}" for field in ignored)
        raise FrontendError(
            f"config.json of {source.name} has {given}, which TensorFlow's class for "
            f"{source.config['model_type']} ignores: its outputs would be wrong; only {known} is "
            "imported so; --importer torch takes it as it is"
        )
