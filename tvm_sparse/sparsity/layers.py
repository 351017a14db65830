"""Which layers may run sparse: those of the encoder, but for embeddings and heads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from tvm_sparse.errors import SparsityError, did_you_mean
from tvm_sparse.model.layer import Layer

#: Roles that never run sparse, in words. Heads are a small share of the work, and pruning them
#: costs the most accuracy.
_ALWAYS_DENSE = {"embedding": "embedding", "head": "head", "pooler": "head (pooler)"}
_SUFFIXES = ("/kernel", "/weight", "/weights")
_NAMES_SHOWN = 3


def select_layers(
    layers: Sequence[Layer], include: Iterable[str] = (), exclude: Iterable[str] = ()
) -> dict[str, str]:
    """Choose the layers that may run sparse, by what they are for.

    For each layer's name it is said why it stays dense, nothing for those that are chosen: the
    encoder's, or those that `include` names. Patterns are those of the shell (`*` matches `/` too),
    on TensorFlow's or PyTorch's names of the weights, or on roles.

    Raises
    ------
    SparsityError
        A pattern matches no layer.
    """
    include, exclude = tuple(include), tuple(exclude)
    for option, patterns in (("include", include), ("exclude", exclude)):
        for pattern in patterns:
            if not any(_matches(layer, pattern) for layer in layers):
                hint = did_you_mean(pattern, {layer.role for layer in layers})
                raise SparsityError(
                    f"--{option} {pattern!r} given{hint}, which matches none of the "
                    f"{len(layers)} dense layers; they are named like {_examples(layers)}"
                )
    return {layer.name: _refusal(layer, include, exclude) for layer in layers}


def _refusal(layer: Layer, include: tuple[str, ...], exclude: tuple[str, ...]) -> str:
    if layer.kind != "dense":
        return f"{layer.kind}: only dense layers run sparse"
    if layer.role in _ALWAYS_DENSE:
        return f"{_ALWAYS_DENSE[layer.role]}: always dense"
    if layer.obstacle:
        return layer.obstacle
    if include and not any(_matches(layer, pattern) for pattern in include):
        return "no --include pattern matches"
    if not include and layer.block is None:
        return "outside of the encoder"
    excluded = next((pattern for pattern in exclude if _matches(layer, pattern)), "")
    return f"matches --exclude {excluded}" if excluded else ""


def _matches(layer: Layer, pattern: str) -> bool:
    name = layer.canonical_name
    bare = next((name.removesuffix(end) for end in _SUFFIXES if name.endswith(end)), name)
    return any(fnmatchcase(text, pattern) for text in (name, bare, layer.torch_name, layer.role))


def _examples(layers: Sequence[Layer]) -> str:
    names = [layer.canonical_name for layer in layers[:_NAMES_SHOWN]]
    return ", ".join(names) or "(there are none)"
