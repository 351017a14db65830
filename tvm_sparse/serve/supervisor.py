"""Several processes that answer at one address, and the one that keeps them: it answers nothing.

The kernel hands connections out among them: each has a socket of its own that listens at the
address (SO_REUSEPORT). The supervisor keeps these open: connections to a process that has died wait
for the one that takes its place, and only those are lost that it had accepted. A spare process has
imported what a process needs, most of what it takes to start one.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec

from tvm_sparse.errors import BuildError, TvmSparseError
from tvm_sparse.serve.config import ServeConfig
from tvm_sparse.serve.control import ModelControl
from tvm_sparse.serve.fleet import Fleet
from tvm_sparse.serve.listening import hold, join, listen
from tvm_sparse.serve.snapshots import Snapshots, copies
from tvm_sparse.serve.spare import Spare
from tvm_sparse.serve.statistics import counts_to
from tvm_sparse.serve.watch import Watch
from tvm_sparse.serve.worker_site import WorkerSite

#: Longer than workers take to answer what is under way.
_END_S = 40.0
#: Seconds between looks at what workers have counted, of which that much is lost with one.
_COUNT_S = 1.0
#: One that dies sooner waits for longer and longer before it is started again.
_YOUNG_S, _LONGEST_WAIT_S = 10.0, 10.0


class Supervisor:
    """Keeps the processes that answer.

    Parameters
    ----------
    config : ServeConfig
        What to serve, at ports that are held.
    say : callable
        Receives lines about what happens.
    path : str or None
        The file that says what to serve.
    snapshots : Snapshots or None
        Where artifacts are copied.
    """

    def __init__(
        self,
        config: ServeConfig,
        say: Callable[[str], None],
        path: str | None,
        snapshots: Snapshots | None,
    ) -> None:
        self._config, self._say, self._path = config, say, path
        self._shares = config.shares()
        self._sites: list[WorkerSite] = []
        self._sockets: dict[int, socket.socket] = {}
        self._spare = Spare(self._answer)
        self._control = ModelControl(config, Fleet([], say, snapshots))

    async def run(self) -> None:
        """Serve until a signal.

        Raises
        ------
        TvmSparseError
            A model or an address of the configuration cannot be served.
        """
        ended = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, ended.set)
        jobs = [asyncio.create_task(one) for one in (ended.wait(), self._serve())]
        await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
        for job in jobs:
            job.cancel()
        results = await asyncio.gather(*jobs, return_exceptions=True)
        for bound in self._sockets.values():
            bound.close()
        self._spare.drop()
        await asyncio.gather(*(self._end(site) for site in self._sites))
        for one in results:
            if isinstance(one, Exception):
                raise one

    async def _serve(self) -> None:
        """Start all processes, load the models, and keep both as they should be."""
        for index in range(self._config.workers):
            self._sockets[index] = listen(self._config.http, shared=True)
        self._sites = [self._start(index) for index in range(self._config.workers)]
        self._control.fleet.sites += self._sites
        await asyncio.gather(*(self._begin(*one) for one in enumerate(self._sites)))
        await asyncio.gather(*(site.ask("listen") for site in self._sites))
        await self._control.start()
        if any(site.talk.done() for site in self._sites):
            raise BuildError("a process that answers ended before its models had answered")
        self._say(f"ready: {', '.join(self._control.fleet.served)}")
        self._spare.keep(self._sockets.values())
        jobs = [self._keep(index, site) for index, site in enumerate(self._sites)]
        if self._config.control.watch:
            jobs.append(Watch(self._control, self._path, self._say).run())
        await asyncio.gather(self._count(), *jobs)

    def _start(self, index: int) -> WorkerSite:
        if index not in self._sockets:
            self._sockets[index] = listen(self._config.http, shared=True)
        site = self._spare.take(self._sockets.values())
        self._say(f"worker {index}: process {site.process.pid}")
        return site

    async def _begin(self, index: int, site: WorkerSite, first: bool = True) -> None:
        """Tell a process what it is for."""
        cores, pinned = self._shares[index]
        config = msgspec.to_builtins(replace(self._config, workers=1, cores=cores))
        await site.begin(self._sockets[index], config=config, cores=pinned, first=first)

    async def _keep(self, index: int, site: WorkerSite) -> None:
        """Start a process again whenever it has ended."""
        deaths = 0
        while True:
            born = time.monotonic()
            await site.talk
            status = await asyncio.to_thread(site.process.wait)
            site.close()
            self._control.fleet.leave(site)
            how = f"signal {-status}" if status < 0 else f"status {status}"
            self._say(f"worker {index}: process {site.process.pid} ended with {how}")
            deaths = 1 if time.monotonic() - born > _YOUNG_S else deaths + 1
            if deaths > 1:
                self._spare.drop()
                self._sockets.pop(index).close()  # what comes goes to the others
                await asyncio.sleep(min(_LONGEST_WAIT_S, 0.1 * 2 ** min(deaths, 10)))
            site = self._sites[index] = await self._again(index)

    async def _again(self, index: int) -> WorkerSite:
        """Return a process that takes the place of one that has ended."""
        while True:
            try:
                site = self._start(index)
                break
            except TvmSparseError as error:  # the system has no room for it, for now
                self._say(f"worker {index}: {error}")
                await asyncio.sleep(1.0)
        try:
            await self._begin(index, site, first=False)
            await self._control.join(site)
            await site.ask("listen")
            if not site.talk.done():
                self._say(f"worker {index}: answers")
                self._spare.keep(self._sockets.values())
        except TvmSparseError as error:
            self._say(f"worker {index}: {error}")
            site.process.kill()
        return site

    async def _count(self) -> None:
        """Keep what processes have counted, for when they die."""
        while True:
            await asyncio.sleep(_COUNT_S)
            with contextlib.suppress(TvmSparseError):  # nobody asked
                await self._control.statistics()

    async def _answer(self, what: str, fields: dict[str, Any]) -> Any:
        """Do what a process asks, which concerns all of them."""
        if what == "load":
            return await self._control.load(**fields)
        if what == "unload":
            return await self._control.unload(**fields)
        found = await self._control.statistics()
        return {"models": counts_to(found.models), "config_failures": found.config_failures}

    async def _end(self, site: WorkerSite) -> None:
        """Have a process answer what is under way, and end."""
        site.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(site.process.wait, _END_S)
        site.close()


def run(config: ServeConfig, say: Callable[[str], None], path: str | None = None) -> None:
    """Serve until a signal; see `serve.run.serve`."""
    with contextlib.ExitStack() as stack:
        http = stack.enter_context(hold(config.http))
        say(f"listening on http://{join(http.host, http.port)}")
        grpc = config.grpc and stack.enter_context(hold(config.grpc))
        if grpc is not None:
            say(f"listening on grpc://{join(grpc.host, grpc.port)}")
        snapshots = stack.enter_context(copies(config))
        held = replace(config, http=http, grpc=grpc)
        asyncio.run(Supervisor(held, say, path, snapshots).run())
    say("ended")
