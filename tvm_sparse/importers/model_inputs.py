"""Which inputs a model of transformers takes, and of which shape: the same in every framework.

Read where neither TVM nor a framework but the model's own is installed.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal, NamedTuple

from tvm_sparse.errors import FrontendError

#: What a configuration calls the number of rows that ids look up.
_ROWS = {"input_ids": "vocab_size", "token_type_ids": "type_vocab_size"}


class ModelInput(NamedTuple):
    """One input, as `TensorSpec` has it."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    below: int | None = None
    axes: tuple[Literal["batch", "seq_len", ""], ...] = ()

    def of_batch(self, batch: int) -> ModelInput:
        """Return the same input of so many sequences or images."""
        return self._replace(shape=(batch, *self.shape[1:]))

    def at(self, shape: tuple[int, ...]) -> ModelInput:
        """Return the same input of so many sequences of so many tokens; images stay as they are."""
        return self._replace(shape=shape) if len(self.shape) == len(shape) else self


def find_inputs(
    model: Any,
    accepted: Collection[str],
    tokenizers: Any,
    config: dict[str, Any],
    batch: int,
    seq_len: int,
    form: str,
) -> list[ModelInput]:
    """Return the inputs that a model really takes.

    Parameters
    ----------
    model : object
        Of transformers, in any framework.
    accepted : collection of str
        What its forward function takes.
    tokenizers : type, or tuple of (type or None)
        What transformers' `TOKENIZER_MAPPING` has for it, nothing if there is none.
    config : dict
        Its config, as `full_config` returns it; `type_vocab_size` below 2 means segment ids are
        all zero, and a class without that field takes any.
    batch, seq_len : int
        Static shape of ids: (batch, seq_len), int32. `pixel_values` is (batch, C, H, W), float32.
    form : {"full", "single"}
        `single` leaves only `input_ids`.

    Raises
    ------
    FrontendError
        It takes neither ids nor images.
    """
    if "pixel_values" in accepted and "input_ids" not in accepted:
        size = config.get("image_size", 224)
        height, width = (size, size) if isinstance(size, int) else size
        channels = int(config.get("num_channels", 3))
        return [ModelInput("pixel_values", (batch, channels, int(height), int(width)), "float32")]
    if "input_ids" not in accepted or "vocab_size" not in config:
        raise FrontendError(
            f"{type(model).__name__} takes {', '.join(list(accepted)[:2])}, ...: only models of "
            "texts (input_ids) or of images (pixel_values) are imported"
        )
    names = ["input_ids"]
    if form == "full":
        names += [name for name in ("attention_mask", "token_type_ids") if name in accepted]
        if "token_type_ids" in names and not _has_segments(tokenizers, config):
            names.remove("token_type_ids")
    # Segments without a table of their own are looked up among the words.
    rows = {name: getattr(model.config, key, config["vocab_size"]) for name, key in _ROWS.items()}
    return [ModelInput(name, (batch, seq_len), "int32", rows.get(name)) for name in names]


def _has_segments(tokenizers: Any, config: dict[str, Any]) -> bool:
    """Whether a model tells segments apart, and its tokenizer gives their ids."""
    several = tokenizers if isinstance(tokenizers, tuple) else (tokenizers,)
    known = [tokenizer for tokenizer in several if tokenizer is not None]
    given = not known or "token_type_ids" in known[-1].model_input_names
    count = config.get("type_vocab_size")
    return given and (count is None or int(count) > 1)
