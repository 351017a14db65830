"""Which inputs a PyTorch model takes."""

from __future__ import annotations

import inspect
from typing import Any

from tvm_sparse.importers import model_inputs
from tvm_sparse.importers.model_inputs import ModelInput


def find_inputs(
    model: Any, config: dict[str, Any], batch: int, seq_len: int, form: str = "full"
) -> list[ModelInput]:
    """Return the inputs of a module of PyTorch, as `model_inputs.find_inputs` does."""
    from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING

    accepted = inspect.signature(model.forward).parameters
    tokenizers = TOKENIZER_MAPPING.get(type(model.config), ())
    return model_inputs.find_inputs(model, accepted, tokenizers, config, batch, seq_len, form)
