"""Which sources are ONNX files."""

from __future__ import annotations

from tvm_sparse.errors import FrontendError
from tvm_sparse.sources.source import ModelSource


def check_file(source: ModelSource) -> None:
    """Refuse what is no ONNX file.

    Raises
    ------
    FrontendError
        Another importer is for it.
    """
    if not source.is_onnx:
        raise FrontendError(
            f"{source.name} is no ONNX file: use --importer auto, or give a file that ends in .onnx"
        )
