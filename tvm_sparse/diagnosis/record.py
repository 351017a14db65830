"""What a diagnosis says: findings, and the facts behind them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from tvm_sparse.bench.environment import Environment


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    subject : str
        What: `cpu`, `threads`, `extra tensorflow` ….
    state : {"ok", "note", "broken"}
        `note` where something is missing, limited or unusual; `broken` where no exported build
        runs, or nothing can be kept.
    found : str
        What was found.
    advice : str
        What to do about it; empty where there is nothing to do.
    """

    subject: str
    state: Literal["ok", "note", "broken"]
    found: str
    advice: str = ""

    def __str__(self) -> str:
        advice = f": {self.advice}" if self.advice else ""
        return f"{self.subject}: {self.found}{advice}"


@dataclass(frozen=True)
class Diagnosis:
    """Whether this installation works on this machine.

    Attributes
    ----------
    environment : Environment
        The machine, and versions of what is installed.
    cpu_features : tuple of str
        Flags of the CPU in /proc/cpuinfo's spelling, those that code is generated from.
    memory_limit_bytes, memory_available_bytes : int or None
        What the cgroups of this process allow it, and what is free; None if there is no limit,
        or the system does not tell.
    cpu_quota : float or None
        CPU time per time that its cgroups allow it; None without a limit.
    cache_dir, cache_bytes : str, int
        Where the cache is, and its size.
    findings : tuple of Finding
        One for each thing that was looked at.
    """

    schema_version: Literal[1] = field(default=1, kw_only=True)
    environment: Environment
    cpu_features: tuple[str, ...]
    memory_limit_bytes: int | None
    memory_available_bytes: int | None
    cpu_quota: float | None
    cache_dir: str
    cache_bytes: int
    findings: tuple[Finding, ...]

    @property
    def broken(self) -> tuple[Finding, ...]:
        """What has to be mended."""
        return tuple(finding for finding in self.findings if finding.state == "broken")
