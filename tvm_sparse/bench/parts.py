"""How the time of an inference divides among the parts of a model."""

from __future__ import annotations

from collections.abc import Sequence

from tvm_sparse.kernel_facts import PARTS
from tvm_sparse.runtime.metadata import CallTime


def latency_by_part(calls: Sequence[CallTime], latency_ms: float) -> dict[str, float]:
    """Return the time by part, adding up to the latency: what no call accounts for is rest.

    Parameters
    ----------
    calls : sequence of CallTime
        Every kernel call of one inference.
    latency_ms : float
        Of an inference that was not profiled.
    """
    parts: dict[str, float] = dict.fromkeys(PARTS, 0.0)
    scale = profile_scale(calls, latency_ms)
    for call in calls:
        parts[call.facts.part] += call.latency_ms * scale
    parts["rest"] += latency_ms - sum(parts.values())
    return parts


def profile_scale(calls: Sequence[CallTime], latency_ms: float) -> float:
    """Return the factor that brings profiled times to the latency, at most 1."""
    # Profiled runs are a little slower than plain ones, and not at the same moment.
    return min(1.0, latency_ms / max(sum(call.latency_ms for call in calls), 1e-9))
