"""Processes that answer, as those see them who decide which models there are."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Mapping
from typing import Protocol

from tvm_sparse.errors import ArtifactError, TvmSparseError
from tvm_sparse.serve.job_threads import JobThreads
from tvm_sparse.serve.model_config import ModelConfig
from tvm_sparse.serve.repository import Repository
from tvm_sparse.serve.statistics import Statistics


class Site(Protocol):
    """A process that answers; see `Repository` for what the methods do.

    Attributes
    ----------
    last : dict of str to Statistics
        What had happened to requests when that was last asked.
    """

    last: dict[str, Statistics]

    async def prepare(self, one: ModelConfig, where: str, directory: str) -> None:
        """Load a model beside what is served."""

    async def abandon(self, names: Collection[str], faults: Mapping[str, str]) -> None:
        """Forget some that were loaded, and note why."""

    async def commit(self, name: str) -> None:
        """Have it take requests."""

    async def retire(self, name: str, reason: str) -> None:
        """Take a model away."""

    async def counts(self) -> dict[str, Statistics]:
        """Return what happened to requests."""


class HereSite:
    """The process itself; what takes its time runs in a thread.

    Parameters
    ----------
    repository : Repository
        What it serves.
    """

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self.last: dict[str, Statistics] = {}
        self._thread = JobThreads(1, "tvm_sparse-load")

    async def prepare(self, one: ModelConfig, where: str, directory: str) -> None:
        """Load a model beside what is served."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()

        def finish(error: Exception | None) -> None:
            if not done.done():
                done.set_exception(error) if error else done.set_result(None)

        def prepare() -> None:
            fault: Exception | None = None
            try:
                self._repository.prepare(one, where, directory)
            except TvmSparseError as error:  # raised where it is awaited
                fault = error
            except Exception as error:  # what was served still is
                reason = f"{type(error).__name__}: {error}"
                fault = ArtifactError(f"{one.model} cannot be loaded: {reason}")
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(finish, fault)

        self._thread.submit(prepare, 1)
        await done

    async def abandon(self, names: Collection[str], faults: Mapping[str, str]) -> None:
        """Forget some that were loaded, and note why."""
        self._repository.abandon(names, faults)

    async def commit(self, name: str) -> None:
        """Have it take requests."""
        self._repository.commit(name)

    async def retire(self, name: str, reason: str) -> None:
        """Take a model away."""
        self._repository.retire(name, reason)

    async def counts(self) -> dict[str, Statistics]:
        """Return what happened to requests."""
        self.last = self._repository.counts()
        return self.last
