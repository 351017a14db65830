"""Weights in files that are not read: recognised, so that they are refused by name."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

_ADAPTER = "an adapter, no model: merge it into its base (`merge_and_unload`) and save that"
_CONVERT = "convert it to safetensors (PyTorch's transformers: `model.save_pretrained(directory)`)"
#: What else holds weights, by ends of files' names: refused by name, never passed over.
_OTHER_WEIGHTS = {
    "adapter_model.safetensors": _ADAPTER,
    "adapter_model.bin": _ADAPTER,
    ".safetensors": "which is not looked for: name it model.safetensors, or give its own directory",
    "openvino_model.bin": "a format that is not read: give the checkpoint it was made from",
    ".bin": f"which is not read: {_CONVERT}",
    ".msgpack": "Flax's format, which is not read: save the model with PyTorch or TensorFlow",
    "saved_model.pb": "a SavedModel, which is not read: save the model with `save_pretrained`",
    ".h5": "which is not looked for: name it tf_model.h5, if `save_pretrained` wrote it",
    **dict.fromkeys((".pt", ".pth", ".ckpt", ".ot"), f"which is not read: {_CONVERT}"),
    ".onnx": "which is a model of its own: give the file itself",
    **dict.fromkeys(
        (".gguf", ".tflite", ".mlmodel"),
        "a format that is not read: give the checkpoint it was made from",
    ),
}
#: Files that end like weights and hold none.
_NO_WEIGHTS = (
    "training_args.bin",
    "optimizer.bin",
    "scheduler.bin",
    "optimizer.pt",
    "scheduler.pt",
)
#: Where libraries put them: not the whole tree, which may be somebody's home.
_PLACES = ("*", "onnx/*", "openvino/*", "saved_model/*/*", "checkpoint-*/*")


def find_other_weights(directory: Path) -> str:
    """Say which file of a directory holds weights in a format that is not read, as below."""
    files = (path for place in _PLACES for path in sorted(directory.glob(place)))
    return describe_other_weights(path.relative_to(directory).as_posix() for path in files)


def describe_other_weights(names: Iterable[str]) -> str:
    """Say which of some files holds weights in a format that is not read, empty if none does.

    Parameters
    ----------
    names : iterable of str
        Of a checkpoint without weights that are read, relative to it.
    """
    files = [name for name in names if Path(name).name not in _NO_WEIGHTS]
    for end, what in _OTHER_WEIGHTS.items():
        name = next((name for name in files if name.endswith(end)), None)
        if name is not None:
            return f"{name}, {what}"
    return ""
