"""What PyTorch's classes of transformers ignore in a config, since another program reads it."""

from __future__ import annotations

from tvm_sparse.errors import FrontendError
from tvm_sparse.sources.source import ModelSource

#: nn_pruning writes it for models without layer norms, and patches PyTorch's class for them.
_FIELD, _COMPUTED = "layer_norm_type", "layer_norm"


def check_config(source: ModelSource) -> None:
    """Refuse a model that transformers' own class would compute wrongly.

    Raises
    ------
    FrontendError
        It is an ONNX file, or its config asks for what the class ignores.
    """
    if source.is_onnx:
        raise FrontendError(
            f"{source.name} is an ONNX file, which PyTorch does not read: use --importer onnx"
        )
    given = source.config.get(_FIELD, _COMPUTED)
    if given != _COMPUTED:
        raise FrontendError(
            f"config.json of {source.name} has {_FIELD} {given!r}, which PyTorch's class for "
            f"{source.config['model_type']} ignores: its outputs would be wrong; only {_FIELD} "
            f"{_COMPUTED!r} is imported"
        )
