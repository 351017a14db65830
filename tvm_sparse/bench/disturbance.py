"""The one notion of a disturbed measurement: what tells that something else had the cores.

A neighbour on the machine slows some runs and not others, long ones more than short ones: a run of
0.4 ms fits between two turns of somebody else, one of 8 ms does not. Medians then tell how busy the
machine was, and their ratio is no speed-up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from tvm_sparse.bench.contention import MOST_WAITING
from tvm_sparse.progress import Progress

#: Measurements of one thing until an undisturbed one is found, at most.
ATTEMPTS = 3
#: What is said before another one.
AGAIN = "something else keeps the machine busy: measuring again"

#: The tenth percentile of the rounds over the best moment: quiet machines repeat themselves.
_MOST_SLOWNESS = 1.1
#: The median of the runs over the least of them.
_MOST_SPREAD = 1.5
#: How much more one build suffers than another: by so much their ratio is off.
_MOST_SKEW = 1.25

Result = TypeVar("Result")


@dataclass(frozen=True)
class Disturbance:
    """What tells of something else on the machine during a measurement.

    Attributes
    ----------
    waiting : float
        Share of the time in which a task waited for a core, 0..1.
    slowness : float
        By how much the tenth percentile of the rounds is above the best moment: 1 and a little
        more on a quiet machine. Of several builds, the largest.
    spread : float
        The median run over the fastest one; of several builds, the largest.
    skew : float
        The largest of these quotients over the least: by how much the ratio of the medians of two
        builds is off that of their fastest runs. 1 for a single build.
    attempts : int
        How often it was measured; this is the least disturbed time.
    is_high : bool
        Whether that is too much to rely on the numbers.
    """

    waiting: float
    slowness: float
    spread: float
    skew: float
    attempts: int = 1
    is_high: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "is_high", self.badness > 1)

    @property
    def badness(self) -> float:
        """The sign that is furthest above what is tolerated, over that: above 1 is too much."""
        return max(self._over.values())

    @property
    def reasons(self) -> list[str]:
        """What tells so, in words; nothing where all is quiet."""
        words = {
            "waiting": f"programs waited for a core {self.waiting:.0%} of the time",
            "slowness": f"even the better rounds took {self.slowness:.1f} times the best one",
            "spread": f"half of the runs took over {self.spread:.1f} times the fastest",
            "skew": f"one side suffered {self.skew:.1f} times as much as another",
        }
        return [words[sign] for sign, over in self._over.items() if over > 1]

    @property
    def _over(self) -> dict[str, float]:
        return {
            "waiting": self.waiting / MOST_WAITING,
            "slowness": (self.slowness - 1) / (_MOST_SLOWNESS - 1),
            "spread": (self.spread - 1) / (_MOST_SPREAD - 1),
            "skew": (self.skew - 1) / (_MOST_SKEW - 1),
        }


@dataclass(frozen=True)
class Timed:
    """What was timed of one build, in milliseconds.

    Attributes
    ----------
    samples_ms : sequence of float
        Of every run.
    round_ms : sequence of float
        Medians of the rounds.
    best_ms : float
        What it took at a better moment than all of these, as far as one is known.
    """

    samples_ms: Sequence[float]
    round_ms: Sequence[float]
    best_ms: float = float("inf")

    @property
    def slowness(self) -> float:
        """The tenth percentile of the rounds over the best moment."""
        return tenth_percentile(self.round_ms) / min(self.best_ms, *self.round_ms)

    @property
    def spread(self) -> float:
        """The median run over the fastest."""
        return float(np.median(self.samples_ms)) / min(self.samples_ms)


def judge(timed: Mapping[str, Timed], waiting: float = 0.0) -> Disturbance:
    """Return how disturbed a measurement is.

    Parameters
    ----------
    timed : mapping of str to Timed
        By name, what was measured in turns.
    waiting : float
        Share of the time in which a task waited for a core, 0..1.
    """
    spreads = [found.spread for found in timed.values()]
    return Disturbance(
        waiting=waiting,
        slowness=max(found.slowness for found in timed.values()),
        spread=max(spreads),
        skew=max(spreads) / min(spreads),
    )


def tenth_percentile(values_ms: Sequence[float]) -> float:
    """Return what is told of a build as if nothing else ran, in milliseconds.

    Of the medians of its rounds: neighbours come and go by the second; four of five rounds may
    suffer, and it is still of those that did not. On a quiet machine it is next to the median.
    """
    return float(np.percentile(values_ms, 10))


def until_quiet(
    measure: Callable[[], tuple[Result, Disturbance]], progress: Progress
) -> tuple[Result, Disturbance]:
    """Measure until nothing disturbs it, `ATTEMPTS` times at most.

    Parameters
    ----------
    measure : callable
        Measures once and returns what it found and how disturbed that is.
    progress : callable
        Receives a line where it measures again.

    Returns
    -------
    tuple
        The first that nothing disturbed, else the least disturbed one; its `attempts` tell how
        many there were.
    """
    best = measure()
    attempts = 1
    while best[1].is_high and attempts < ATTEMPTS:
        progress(AGAIN)
        attempts += 1
        best = min(best, measure(), key=lambda found: found[1].badness)
    result, disturbance = best
    return result, replace(disturbance, attempts=attempts)
