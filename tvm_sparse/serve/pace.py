"""How long a model's requests take at the moment, to refuse early what would come too late."""

from __future__ import annotations

import time

from tvm_sparse.serve.refusal import not_now, too_late
from tvm_sparse.serve.ticket import Ticket
from tvm_sparse.serve.timeout import Timeout

_WEIGHT = 0.1
#: What has less time than this share of what is usual is refused: texts differ in length.
_SHARE = 0.5


class Pace:
    """Learns from answered requests; refusing where nobody is before makes it doubt."""

    def __init__(self) -> None:
        self._each_s = 0.0  # for a request, and for each one before it

    def answered(self, ticket: Ticket, before: int) -> None:
        """Learn from a request that so many others were before when it came."""
        whole_s = (time.perf_counter_ns() - ticket.arrived_ns) / 1e9
        self._each_s += _WEIGHT * (whole_s / (before + 1) - self._each_s)

    def check(self, model: str, timeout: Timeout, before: int) -> None:
        """Refuse a request to a model that would come too late behind so many others.

        Raises
        ------
        Refusal
            Saying what there is no time for.
        """
        left_s = timeout.left_s
        if left_s is not None and not self.suffices(left_s, before):
            raise too_late(f"model '{model}': no answer is likely within {left_s:.3g} s")
        if not self.reaches(timeout.queue_s, before):
            raise not_now(
                f"model '{model}': no turn is likely within {timeout.queue_s * 1000:.0f} ms"
            )

    def suffices(self, left_s: float, before: int) -> bool:
        """Tell whether there is hope of an answer in so many seconds behind so many others."""
        if left_s > 0 and left_s >= _SHARE * self._each_s * (before + 1):
            return True
        if before == 0:  # no answer is on its way that it could learn from
            self._each_s *= 1 - _WEIGHT
        return False

    def reaches(self, left_s: float, before: int) -> bool:
        """Tell whether there is hope of a turn in so many seconds behind so many others."""
        return left_s >= _SHARE * self._each_s * before
