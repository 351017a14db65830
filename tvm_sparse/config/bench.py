"""How long and how often to measure."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal

from tvm_sparse.config.spec import Spec, require, require_whole
from tvm_sparse.errors import check_word


@dataclass(frozen=True)
class BenchSpec(Spec):
    """How long and how often to measure.

    Parameters
    ----------
    time_s : float
        Seconds of measuring per build, unless `iterations` is given.
    iterations : int or None
        Exact number of measured iterations per build.
    warmup_s : float
        Seconds of unmeasured iterations before, per build.
    streams : tuple of int, or "auto"
        Numbers of streams whose throughput is measured besides; `auto` is 1, 2, 4 and so on up to a
        stream a core.
    """

    time_s: float = 10.0
    iterations: int | None = None
    warmup_s: float = 1.0
    streams: tuple[int, ...] | Literal["auto"] = ()

    def __post_init__(self) -> None:
        require(
            self.time_s > 0 and isfinite(self.time_s),
            f"time {self.time_s:g} given: it must be over 0 seconds, and finite",
        )
        if self.iterations is not None:
            require_whole("iterations", self.iterations)
        require(
            self.warmup_s >= 0 and isfinite(self.warmup_s),
            f"warmup {self.warmup_s:g} given: it must be 0 or more, and finite",
        )
        if isinstance(self.streams, str):
            check_word("streams", self.streams, ("auto",))
        else:
            for streams in self.streams:
                require_whole("streams", streams)


def bench_spec(time_s: float = 10.0, warmup_s: float | None = None, **fields: Any) -> BenchSpec:
    """Return a spec that warms up for a second, or for a quarter of a shorter measurement.

    Parameters
    ----------
    time_s, warmup_s, **fields
        As `BenchSpec` takes them; None for that warm-up.
    """
    return BenchSpec(
        time_s, warmup_s=min(1.0, time_s / 4) if warmup_s is None else warmup_s, **fields
    )
