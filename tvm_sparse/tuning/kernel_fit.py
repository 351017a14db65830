"""The time of a sparse kernel at any density, from a few that were measured. Free of TVM."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tvm_sparse.errors import ConfigError
from tvm_sparse.tuning.plausible import disorder


@dataclass(frozen=True)
class KernelFit:
    """The time of one kernel in milliseconds, by density 0..1 of its non-zero blocks, ascending.

    `disorder` is by which factor fewer non-zeros seemed to take longer than more; 1 if they never
    did.
    """

    densities: tuple[float, ...]
    latency_ms: tuple[float, ...]
    disorder: float = 1.0

    @classmethod
    def from_times(cls, times: Mapping[float, float]) -> KernelFit:
        """Return the fit of measured times: milliseconds by density.

        More non-zeros never take less time. Where they seem to, the shorter time counts for both:
        whatever else runs on the machine makes times longer.

        Raises
        ------
        ConfigError
            No times, or one that is not over 0.
        """
        if not times or min(times.values()) <= 0:
            raise ConfigError(f"kernel times {dict(times)} given: at least one, all over 0")
        densities = tuple(sorted(times))
        from_most = [times[density] for density in reversed(densities)]
        ascending = np.minimum.accumulate(from_most)[::-1]
        return cls(densities, tuple(ascending.tolist()), disorder(times))

    def at(self, density: float) -> float:
        """Return the time at a density of 0..1, in milliseconds.

        Outside of the densities that were timed the nearest line goes on, and never below half
        of the least time: bias, activation and stores remain without a single non-zero.
        """
        x, y = self.densities, self.latency_ms
        if len(x) == 1:
            return y[0]
        if density < x[0]:
            slope = (y[1] - y[0]) / (x[1] - x[0])
            return max(y[0] / 2, y[0] - slope * (x[0] - density))
        if density > x[-1]:
            slope = (y[-1] - y[-2]) / (x[-1] - x[-2])
            return y[-1] + slope * (density - x[-1])
        return float(np.interp(density, x, y))

    def efficiency(self, density: float, roofline_ms: float) -> float:
        """Return the roofline's time over the kernel's, 0..1 and a little over by noise."""
        return roofline_ms / self.at(density)
