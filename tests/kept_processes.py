"""Child processes that import models, kept from test to test: frameworks take seconds to start."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from tvm_sparse.processes.child import Child, Environment, OnEvent
from tvm_sparse.progress import silent

#: What differs from test to test, and is nothing that an import reads.
_NEEDLESS = ("PYTEST_CURRENT_TEST", "TVM_SPARSE_CACHE")


class KeptProcesses:
    """Its `call` stands for that of `processes.child`: one process for each module.

    It is started anew after an error, and where the environment has changed.
    """

    def __init__(self) -> None:
        self._kept: dict[str, tuple[object, Child]] = {}

    def call(
        self,
        module: str,
        purpose: str,
        request: Mapping[str, Any],
        environment: Environment | None = None,
        on_event: OnEvent = silent,
    ) -> Any:
        shared = {name: value for name, value in os.environ.items() if name not in _NEEDLESS}
        environments = (shared, environment)
        if module in self._kept and self._kept[module][0] != environments:
            self._end(module)
        if module not in self._kept:
            self._kept[module] = (environments, Child(module, purpose, environment))
        try:
            return self._kept[module][1].ask(request, on_event)
        except BaseException:
            self._end(module)
            raise

    def close(self) -> None:
        for module in list(self._kept):
            self._end(module)

    def _end(self, module: str) -> None:
        self._kept.pop(module)[1].close()
