"""Every importer there is; a new one is a folder of this room and an entry here."""

from __future__ import annotations

from tvm_sparse.config.model import AUTO
from tvm_sparse.dependencies import FRONTEND, ONNX_FILES, TORCH, fit_together
from tvm_sparse.errors import FrontendError, check_word
from tvm_sparse.importers.importer import Importer
from tvm_sparse.importers.onnx.known_files import check_file
from tvm_sparse.importers.tensorflow.known_models import check_source, knows
from tvm_sparse.importers.torch.unread_config import check_config
from tvm_sparse.sources.source import ModelSource

#: Environment of processes in which a framework works: whatever is to be fetched is on disk
#: already, and what a parent that runs models may have set would keep TVM's compiler out.
OFFLINE = {"HF_HUB_OFFLINE": "1", "TVM_USE_RUNTIME_LIB": None}
#: By name, in the order in which they are preferred.
IMPORTERS: dict[str, Importer] = {
    importer.name: importer
    for importer in (
        Importer(
            "tensorflow",
            "TensorFlow",
            "tvm_sparse.importers.tensorflow.importer",
            FRONTEND,
            OFFLINE,
            check_source,
            knows,
        ),
        Importer(
            "torch",
            "PyTorch",
            "tvm_sparse.importers.torch.importer",
            TORCH,
            OFFLINE,
            check_config,
            lambda source: not source.is_onnx,
        ),
        Importer(
            "onnx",
            "ONNX Runtime",
            "tvm_sparse.importers.onnx.importer",
            ONNX_FILES,
            OFFLINE,
            check_file,
            lambda source: source.is_onnx,
        ),
    )
}


def find_importer(name: str) -> Importer:
    """Return the importer of a name, the preferred one for `auto`.

    Raises
    ------
    ConfigError
        There is none.
    """
    check_word("importer", name, (AUTO, *IMPORTERS))
    return next(iter(IMPORTERS.values())) if name == AUTO else IMPORTERS[name]


def choose_importer(name: str, source: ModelSource) -> Importer:
    """Return the importer that is asked for.

    Parameters
    ----------
    name : str
        Of an importer, or `auto` for the first that knows the source, refuses nothing of it and is
        installed.
    source : ModelSource
        What is to be imported.

    Raises
    ------
    ConfigError
        There is none of this name.
    """
    if name != AUTO:
        return find_importer(name)
    knowing = [importer for importer in IMPORTERS.values() if importer.knows(source)]
    return next((i for i in knowing if _imports(i, source)), knowing[0])


def _imports(importer: Importer, source: ModelSource) -> bool:
    """Whether an importer is installed, and refuses nothing that a source's config says."""
    try:
        importer.check(source)
    except FrontendError:
        return False
    return fit_together(importer.needs(source))
