"""Which dense layers may run sparse: those of the encoder, but for embeddings and heads."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.errors import SparsityError

# Components of TensorFlow variable names ("bert/pooler/dense/kernel") that mark a head. Heads
# are a small share of the work, and pruning them costs the most accuracy.
HEADS = frozenset({
    "classifier", "cls", "discriminator_predictions", "generator_lm_head",
    "generator_predictions", "lm_head", "logits_proj", "mlm", "nsp", "pooler", "pre_classifier",
    "predictions", "qa_outputs", "seq_relationship", "sequence_summary", "sop_classifier",
    "vocab_layer_norm", "vocab_projector", "vocab_transform",
})  # fmt: skip

_ENCODER = re.compile(r"encoder|transformer|\w*_\._\d+")
_SUFFIXES = ("/kernel", "/weight", "/weights")
_NAMES_SHOWN = 3


@dataclass(frozen=True)
class LayerWeight:
    """The weight of one dense layer, or of several that share it.

    Parameters
    ----------
    name : str
        Canonical TensorFlow name, such as `bert/encoder/layer_._0/attention/self/query/kernel`;
        the suffix `.T` of a weight turned to (N, K) may be there or not.
    shape : (int, int)
        (N, K): outputs, inputs, however the array is stored.
    stored : {"NK", "KN"}
        Order of the axes of the stored array; TensorFlow stores "KN".
    flops : int
        Floating-point operations of all matmuls with it when dense, 2 * M * N * K each.
    obstacle : str
        Why its form cannot change, for example that an embedding look-up reads it too.
    """

    name: str
    shape: tuple[int, int]
    stored: Literal["NK", "KN"] = "KN"
    flops: int = 0
    obstacle: str = ""

    @property
    def canonical_name(self) -> str:
        """Name without the `.T` of a transposed copy: the same in both orientations."""
        return self.name.removesuffix(".T")

    def load(self, params: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """Return the weight as (N, K), a view of the stored array.

        Raises
        ------
        SparsityError
            There is no array of that name, or its shape is another.
        """
        array = params.get(self.name)
        wanted = self.shape if self.stored == "NK" else self.shape[::-1]
        if array is None or array.shape != wanted:
            found = "no array" if array is None else f"an array of shape {array.shape}"
            raise SparsityError(f"{found} given for weight {self.name}: shape {wanted} is needed")
        return array if self.stored == "NK" else array.T

    def to_stored(self, weight: NDArray[Any]) -> NDArray[Any]:
        """Return a weight (N, K) in the order of axes in which it is stored, contiguous."""
        return np.ascontiguousarray(weight if self.stored == "NK" else weight.T)


def select_layers(
    layers: Sequence[LayerWeight], include: Iterable[str] = (), exclude: Iterable[str] = ()
) -> dict[str, str]:
    """Choose the layers that may run sparse, by their names alone.

    Parameters
    ----------
    layers : sequence of LayerWeight
        All dense layers of a model.
    include : iterable of str
        Shell patterns (`*` matches `/` too) on layer names; when given, they are chosen
        instead of the encoder's layers.
    exclude : iterable of str
        Shell patterns of layers to leave dense.

    Returns
    -------
    dict of str to str
        For each layer's name why it stays dense, empty for those that are chosen.

    Raises
    ------
    SparsityError
        A pattern matches no layer.
    """
    include, exclude = tuple(include), tuple(exclude)
    for option, patterns in (("include", include), ("exclude", exclude)):
        for pattern in patterns:
            if not any(_matches(layer, pattern) for layer in layers):
                raise SparsityError(
                    f"--{option} {pattern!r} given, which matches none of the {len(layers)} dense "
                    f"layers; they are named like {_examples(layers)}"
                )
    return {layer.name: _refusal(layer, include, exclude) for layer in layers}


def _refusal(layer: LayerWeight, include: tuple[str, ...], exclude: tuple[str, ...]) -> str:
    parts = [part for part in re.split(r"/|___", layer.canonical_name) if part]
    embedding = next((part for part in parts if part.startswith("embedding")), "")
    head = next((part for part in parts if part in HEADS), "")
    if embedding:
        return f"embedding ({embedding}): always dense"
    if head:
        return f"head ({head}): always dense"
    if layer.obstacle:
        return layer.obstacle
    if include and not any(_matches(layer, pattern) for pattern in include):
        return "no --include pattern matches"
    if not include and not any(_ENCODER.fullmatch(part) for part in parts):
        return "outside of the encoder"
    excluded = next((pattern for pattern in exclude if _matches(layer, pattern)), "")
    return f"matches --exclude {excluded}" if excluded else ""


def _matches(layer: LayerWeight, pattern: str) -> bool:
    name = layer.canonical_name
    bare = next((name.removesuffix(end) for end in _SUFFIXES if name.endswith(end)), name)
    return fnmatchcase(name, pattern) or fnmatchcase(bare, pattern)


def _examples(layers: Sequence[LayerWeight]) -> str:
    names = [layer.canonical_name for layer in layers[:_NAMES_SHOWN]]
    return ", ".join(names) or "(there are none)"
