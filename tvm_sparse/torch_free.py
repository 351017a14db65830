"""Keep PyTorch out of processes that import TVM.

TVM imports PyTorch where it is installed, for nothing that is used here: it takes two seconds
and 140 MB in every process. The Triton of a CUDA build also carries an LLVM of its own, and two of
them in one process abort it ("inconsistency in registered CommandLine options").
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from importlib.util import find_spec

TYPE_CHECKING = False
if TYPE_CHECKING:  # imported with the package itself: see there
    from collections.abc import Iterator, Sequence
    from importlib.abc import Loader
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import ClassVar

_TVM = ("tvm", "tvm_ffi")


@contextmanager
def without_torch() -> Iterator[None]:
    """Keep PyTorch from being imported in this block, unless the program has done so already.

    Afterwards PyTorch can be imported again, and libraries that look into `sys.modules` (scipy)
    find what they expect.
    """
    if "torch" in sys.modules:
        yield
        return
    sys.modules["torch"] = None  # type: ignore[assignment]  # what makes `import` refuse
    try:
        yield
    finally:
        del sys.modules["torch"]


class TvmWithoutTorch:
    """A finder for `sys.meta_path`: TVM is imported `without_torch`."""

    _looked_for: ClassVar[set[str]] = set()

    @classmethod
    def find_spec(
        cls, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec that the other finders have for TVM, with a loader of ours."""
        if name not in _TVM or name in cls._looked_for:
            return None
        cls._looked_for.add(name)
        try:
            spec = find_spec(name)
        finally:
            cls._looked_for.remove(name)
        if spec is not None and spec.loader is not None:
            spec.loader = _LoaderWithoutTorch(spec.loader)  # type: ignore[assignment]
        return spec

    @classmethod
    def install(cls) -> None:
        """Come before the other finders."""
        if cls not in sys.meta_path:
            sys.meta_path.insert(0, cls)


class _LoaderWithoutTorch:
    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        # As if it had never been another: resources and reloading ask for the loader.
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self._loader
        with without_torch():
            self._loader.exec_module(module)
