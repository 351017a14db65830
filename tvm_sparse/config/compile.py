"""For which CPU to build."""

from __future__ import annotations

from dataclasses import dataclass

from tvm_sparse.config.spec import Spec, require


@dataclass(frozen=True)
class CompileSpec(Spec):
    """For which CPU to build.

    Parameters
    ----------
    target : str
        `native`, an x86-64 level (`x86-64-v2`, `x86-64-v3`, `x86-64-v4`; with `-vnni` or
        `-amx` also the instructions that builds of integers can use), or `aarch64`.
    threads : int or None
        Threads the build is laid out for and run with; None means every core of this machine.
    dump_ir : str or None
        Directory that receives the module after every phase.
    """

    target: str = "native"
    threads: int | None = None
    dump_ir: str | None = None

    def __post_init__(self) -> None:
        require(
            self.threads is None or self.threads >= 1,
            f"threads {self.threads} given: it must be at least 1",
        )
