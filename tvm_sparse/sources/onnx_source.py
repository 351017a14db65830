"""What a model is that comes as an ONNX file: what its graph says, and the files beside it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tvm_sparse.errors import FrontendError, ModelNotFoundError
from tvm_sparse.sources.architecture import architecture_of
from tvm_sparse.sources.config_file import load_config
from tvm_sparse.sources.onnx_file import OnnxFile, read_onnx_file
from tvm_sparse.tasks import encoder
from tvm_sparse.tasks.registry import task_of

_ENCODER = "Model"
#: Of a class of transformers, the part that names the family.
_FAMILY = re.compile(r"(\w+?)(For[A-Z]\w*|LMHeadModel|Model)$")
#: Where exporters put files: beside config.json, or in a directory of their own below it.
_OWN_DIRECTORY = "onnx"


def find_onnx(model: str) -> OnnxFile:
    """Return what the file says that the user named.

    Raises
    ------
    ModelNotFoundError
        There is none.
    CheckpointError
        It is damaged.
    """
    path = Path(model).expanduser().absolute()
    if not path.is_file():
        raise ModelNotFoundError(
            f"model {model!r} given: there is no such file; torch.onnx.export or optimum makes one"
        )
    return read_onnx_file(path)


def directory_of(file: OnnxFile) -> Path:
    """Return the directory that has a file's config and tokenizer, if there are any."""
    beside, above = file.path.parent, file.path.parent.parent
    is_above = beside.name == _OWN_DIRECTORY and not (beside / "config.json").is_file()
    return above if is_above and (above / "config.json").is_file() else beside


def config_of(directory: Path) -> dict[str, Any]:
    """Return the `config.json` beside a file, or what stands for one that is not there."""
    if (directory / "config.json").is_file():
        return load_config(directory)
    return {"model_type": "model"}


def architecture_from(file: OnnxFile, config: dict[str, Any]) -> str:
    """Return the class of transformers whose outputs a file has, as far as its config names one.

    A config may name a class with a head that the exported model lacks.
    """
    outputs = {tensor.name for tensor in file.outputs}
    named = architecture_of(config)
    family = match[1] if (match := _FAMILY.match(named)) else ""
    if outputs >= {"start_logits", "end_logits"}:
        return f"{family}ForQuestionAnswering"
    if "logits" in outputs:
        try:
            if task_of(named).name != encoder.TASK.name:
                return named
        except FrontendError:
            return f"{family}{_ENCODER}"
    return f"{family}{_ENCODER}"
