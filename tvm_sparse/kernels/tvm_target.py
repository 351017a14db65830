"""A CPU in TVM's words."""

from __future__ import annotations

from typing import Any

from tvm.target import Target

from tvm_sparse.target import CpuTarget


def tvm_target(target: CpuTarget, num_cores: int | None = None, level: int | None = None) -> Target:
    """Return the `tvm.target.Target` that code for a CPU is generated with.

    `level` is that of LLVM's optimisations, its highest by default.
    """
    config: dict[str, Any] = {"kind": "llvm", "mcpu": target.mcpu}
    if target.mtriple:
        config["mtriple"] = target.mtriple
    if target.vector_bits == 512:
        # LLVM prefers 256-bit vectors for this level unless told otherwise.
        config["vector-width"] = 512
    if target.extensions:
        # LLVM's names have no underscores.
        config["mattr"] = [f"+{flag.replace('_', '')}" for flag in target.extensions]
    if level is not None:
        config["opt-level"] = level
    if num_cores:
        config["num-cores"] = num_cores
    return Target(config)
