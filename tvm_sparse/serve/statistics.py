"""What happened to the requests of a model, as Triton counts it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from tvm_sparse.serve.ticket import Ticket


@dataclass
class Total:
    """How often something happened, and how long it took in all."""

    count: int = 0
    ns: int = 0

    def add(self, ns: int) -> None:
        """Count it once more."""
        self.count += 1
        self.ns += ns

    def document(self) -> dict[str, int]:
        """Return both."""
        return {"count": self.count, "ns": self.ns}


@dataclass
class Statistics:
    """Counts of one name; only the event loop changes them, the number of runs excepted.

    Attributes
    ----------
    success, fail, queue, infer, other : Total
        Requests answered and refused, their time waiting and in runs, and what else they took:
        parsing, tokenising, making answers.
    items : int
        Texts and sequences of requests that were answered.
    failures : Counter
        Refused requests by reason.
    pending : int
        Requests that are waiting or answered.
    last_ms : int
        When the last request ended, in milliseconds since 1970; 0 for never.
    runs : int
        Runs of the model.
    running : int
        Requests that are in runs.
    tokens, padding : int
        Of the sequences in all runs, and what was computed beside them.
    reloads, reload_failures : int
        How often it was replaced by a newer one, and how often that could not be loaded.
    """

    success: Total = field(default_factory=Total)
    fail: Total = field(default_factory=Total)
    queue: Total = field(default_factory=Total)
    infer: Total = field(default_factory=Total)
    other: Total = field(default_factory=Total)
    items: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    pending: int = 0
    last_ms: int = 0
    runs: int = 0
    running: int = 0
    tokens: int = 0
    padding: int = 0
    reloads: int = 0
    reload_failures: int = 0

    def taken(self, requests: int, tokens: int, padding: int) -> None:
        """Count requests that a run has taken up; for who holds the lock of the streams."""
        self.running += requests
        self.tokens += tokens
        self.padding += padding

    def answered(self, ticket: Ticket, items: int) -> None:
        """Count a request that was answered."""
        whole = time.perf_counter_ns() - ticket.arrived_ns
        self.success.add(whole)
        self.queue.add(ticket.wait_ns)
        self.infer.add(ticket.run_ns)
        self.other.add(max(0, whole - ticket.wait_ns - ticket.run_ns))
        self.items += items
        self.last_ms = time.time_ns() // 1_000_000

    def refused(self, ticket: Ticket, reason: str) -> None:
        """Count a request that was not answered."""
        self.fail.add(time.perf_counter_ns() - ticket.arrived_ns)
        self.failures[reason] += 1

    def document(self, name: str) -> dict[str, Any]:
        """Return what `/v2/models/<name>/stats` says; what was not told apart is compute_input."""
        nothing = Total().document()
        return {
            "name": name,
            "version": "1",
            "last_inference": self.last_ms,
            "inference_count": self.items,
            "execution_count": self.runs,
            "inference_stats": {
                "success": self.success.document(),
                "fail": self.fail.document(),
                "queue": self.queue.document(),
                "compute_input": self.other.document(),
                "compute_infer": self.infer.document(),
                "compute_output": {"count": self.success.count, "ns": 0},
                "cache_hit": nothing,
                "cache_miss": nothing,
            },
            "batch_stats": [],
        }

    def add(self, other: Statistics) -> None:
        """Count what another process has counted."""
        for name, total in vars(self).items():
            more = getattr(other, name)
            if isinstance(total, Total):
                total.count += more.count
                total.ns += more.ns
            elif isinstance(total, Counter):
                total.update(more)
            elif name == "last_ms":
                self.last_ms = max(total, more)
            else:
                setattr(self, name, total + more)


@dataclass
class ServerCounts:
    """What happened in all processes of a server.

    Attributes
    ----------
    models : dict of str to Statistics
        By name.
    config_failures : int
        How often a changed configuration could not be used.
    """

    models: dict[str, Statistics] = field(default_factory=dict)
    config_failures: int = 0

    def of(self, name: str) -> dict[str, Statistics]:
        """Return those of one name, which may come or go at this moment."""
        return {name: self.models.get(name, Statistics())}

    @classmethod
    def merged(cls, parts: Iterable[Mapping[str, Statistics]]) -> ServerCounts:
        """Return the sums of what processes have counted."""
        sums = cls()
        for part in parts:
            for name, one in part.items():
                sums.models.setdefault(name, Statistics()).add(one)
        return sums


def counts_to(counts: Mapping[str, Statistics]) -> dict[str, Any]:
    """Return counts as JSON has them."""
    # A Counter as a dict: `asdict` makes a Counter of pairs of it.
    return {
        name: asdict(replace(one, failures=dict(one.failures)))  # type: ignore[arg-type]
        for name, one in counts.items()
    }


def counts_from(document: Mapping[str, Any]) -> dict[str, Statistics]:
    """Return the counts that `counts_to` was given."""
    return {name: _statistics(one) for name, one in document.items()}


def _statistics(document: Mapping[str, Any]) -> Statistics:
    made: dict[str, Any] = dict(document)
    for one in fields(Statistics):
        if one.default_factory is Total:
            made[one.name] = Total(**made[one.name])
    return Statistics(**{**made, "failures": Counter(made["failures"])})
