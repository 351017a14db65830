"""Which inputs a PyTorch model takes, and of which shape."""

from __future__ import annotations

import inspect
from typing import Any, NamedTuple

#: What a configuration calls the number of rows that ids look up.
_ROWS = {"input_ids": "vocab_size", "token_type_ids": "type_vocab_size"}


class ModelInput(NamedTuple):
    """One input, as `TensorSpec` has it."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    below: int | None = None

    def of_batch(self, batch: int) -> ModelInput:
        """Return the same input of so many sequences or images."""
        return self._replace(shape=(batch, *self.shape[1:]))


def find_inputs(
    model: Any, config: dict[str, Any], batch: int, seq_len: int, form: str = "full"
) -> list[ModelInput]:
    """Return the inputs that a model really takes.

    Parameters
    ----------
    model : torch.nn.Module
        Of transformers; its `forward` names what it accepts.
    config : dict
        As `full_config` returns it.
    batch, seq_len : int
        Of ids; images have the size that the config says.
    form : {"full", "single"}
        `single` leaves only `input_ids`.

    Raises
    ------
    ValueError
        It takes neither ids nor images.
    """
    accepted = inspect.signature(model.forward).parameters
    if "pixel_values" in accepted and "input_ids" not in accepted:
        size = config.get("image_size", 224)
        height, width = (size, size) if isinstance(size, int) else size
        channels = int(config.get("num_channels", 3))
        return [ModelInput("pixel_values", (batch, channels, height, width), "float32")]
    if "input_ids" not in accepted or "vocab_size" not in config:
        raise ValueError(
            f"{type(model).__name__} takes {', '.join(list(accepted)[:2])}, ...: only models of "
            "texts (input_ids) or of images (pixel_values) are imported"
        )
    names = ["input_ids"]
    if form == "full":
        names += [name for name in ("attention_mask", "token_type_ids") if name in accepted]
        if "token_type_ids" in names and not _has_segments(model, config):
            names.remove("token_type_ids")
    rows = {name: config.get(key, config["vocab_size"]) for name, key in _ROWS.items()}
    return [ModelInput(name, (batch, seq_len), "int32", rows.get(name)) for name in names]


def _has_segments(model: Any, config: dict[str, Any]) -> bool:
    """Whether a model tells segments apart, and its tokenizer gives their ids."""
    from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING

    found = TOKENIZER_MAPPING.get(type(model.config), ())
    tokenizers = [t for t in (found if isinstance(found, tuple) else (found,)) if t is not None]
    given = not tokenizers or "token_type_ids" in tokenizers[-1].model_input_names
    return given and int(config.get("type_vocab_size") or 0) > 1
