"""Refuse and record the import of some modules, in this process and in all it starts.

Python imports this file at its start when the directory is on PYTHONPATH. POISONED_MODULES names
the modules, POISON_LOG the file that tells which were asked for nevertheless.
"""

from __future__ import annotations

import os
import sys

POISONED = tuple(filter(None, os.environ.get("POISONED_MODULES", "").split(",")))


def refuse(event: str, arguments: tuple) -> None:
    # An audit event, not a finder: looking where a package lies is no import of it.
    if event != "import":
        return
    name = arguments[0]
    if any(name == module or name.startswith(f"{module}.") for module in POISONED):
        with open(os.environ["POISON_LOG"], "a") as log:
            log.write(f"{name} imported by {sys.argv}\n")
        raise ImportError(f"{name} must not be imported here")


sys.addaudithook(refuse)
