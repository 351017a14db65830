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
        config["mattr"] = [f"+{_llvm_name(flag)}" for flag in target.extensions]
    if level is not None:
        config["opt-level"] = level
    if num_cores:
        config["num-cores"] = num_cores
    return Target(config)


def _llvm_name(flag: str) -> str:
    """Return LLVM's name of a CPU flag: amx-int8, but avx512vnni."""
    return flag.replace("_", "-" if flag.startswith("amx") else "")
