"""Every importer there is; a new one is a folder of this room and an entry here."""

from __future__ import annotations

from tvm_sparse.dependencies import FRONTEND
from tvm_sparse.errors import check_word
from tvm_sparse.importers.importer import Importer
from tvm_sparse.importers.tensorflow.unread_config import check_config

#: Environment of processes in which a framework works: whatever is to be fetched is on disk
#: already, and what a parent that runs models may have set would keep TVM's compiler out.
OFFLINE = {"HF_HUB_OFFLINE": "1", "TVM_USE_RUNTIME_LIB": None}
#: By name.
IMPORTERS: dict[str, Importer] = {
    importer.name: importer
    for importer in (
        Importer(
            "tensorflow",
            "tvm_sparse.importers.tensorflow.importer",
            FRONTEND,
            OFFLINE,
            check_config,
        ),
    )
}


def find_importer(name: str) -> Importer:
    """Return the importer of a name.

    Raises
    ------
    ConfigError
        There is none.
    """
    check_word("importer", name, IMPORTERS)
    return IMPORTERS[name]
