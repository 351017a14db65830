"""Which models transformers has TensorFlow classes for, found without importing it."""

from __future__ import annotations

import ast
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from tvm_sparse.errors import FrontendError
from tvm_sparse.importers.tensorflow.unread_config import check_config
from tvm_sparse.sources.source import ModelSource
from tvm_sparse.tasks.registry import TASKS


def check_source(source: ModelSource) -> None:
    """Refuse a model that TensorFlow cannot read, or would compute differently from PyTorch.

    Raises
    ------
    FrontendError
        See `check_config`; it is an archive of PyTorch's, or has PyTorch's pickled weights alone.
    """
    if not _reads(source):
        held = "is a program of PyTorch" if source.archive else "has only pytorch_model.bin"
        held = "is an ONNX file" if source.is_onnx else held
        raise FrontendError(
            f"{source.name} {held}, which TensorFlow does not read: use --importer "
            f"{'onnx' if source.is_onnx else 'torch'}"
        )
    check_config(source)


#: Models whose attention TensorFlow's classes write with masks of bytes, which no kernel takes, or
#: that branch on values there.
_BETTER_THROUGH_PYTORCH = {"deberta", "deberta-v2", "swin"}


def knows(source: ModelSource) -> bool:
    """Whether TensorFlow has a good class for a model and its task, and reads its weights."""
    if not _reads(source) or source.config["model_type"] in _BETTER_THROUGH_PYTORCH:
        return False
    types = known_types(TASKS[source.task].auto_class)
    return types is None or source.config["model_type"] in types


def _reads(source: ModelSource) -> bool:
    return source.archive is None and source.weights_format != "bin"


@cache
def known_types(auto_class: str) -> frozenset[str] | None:
    """Return the types of models (`model_type`) that transformers has TensorFlow classes for.

    Parameters
    ----------
    auto_class : str
        Its name for the table: `MODEL_FOR_QUESTION_ANSWERING`.

    Returns
    -------
    frozenset of str or None
        None where transformers is not installed. Its versions without TensorFlow know none.
    """
    try:
        installed = distribution("transformers")
    except PackageNotFoundError:
        return None
    path = Path(str(installed.locate_file("transformers/models/auto/modeling_tf_auto.py")))
    if not path.is_file():
        return frozenset()
    name = f"TF_{auto_class}_MAPPING_NAMES"
    for statement in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.Assign) and _names(statement) == [name]:
            # OrderedDict([("bert", "TFBertModel"), ...])
            pairs = [n for n in ast.walk(statement.value) if isinstance(n, ast.Tuple)]
            keys = [pair.elts[0] for pair in pairs if pair.elts]
            return frozenset(str(k.value) for k in keys if isinstance(k, ast.Constant))
    return frozenset()


def _names(statement: ast.Assign) -> list[str]:
    return [target.id for target in statement.targets if isinstance(target, ast.Name)]
