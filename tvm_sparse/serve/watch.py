"""Has the server follow its configuration and its artifacts when they change."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import fields

from tvm_sparse.errors import TvmSparseError
from tvm_sparse.serve.config_file import read_config
from tvm_sparse.serve.control import ModelControl
from tvm_sparse.serve.snapshots import Look, look_at

_INTERVAL_S = 0.5


class Watch:
    """Looks at files again and again; what has changed and then stayed is loaded.

    Parameters
    ----------
    control : ModelControl
        Loads it.
    path : str or None
        The configuration, if it is a file.
    say : callable
        Receives lines about what happens.
    interval_s : float
        Seconds between two looks.
    """

    def __init__(
        self,
        control: ModelControl,
        path: str | None,
        say: Callable[[str], None],
        interval_s: float = _INTERVAL_S,
    ) -> None:
        self._control, self._path, self._say = control, path, say
        self._interval_s = interval_s
        self._last: dict[str, Look] = {}
        self._config = look_at(path) if path is not None else ()
        # As it is written: some of what is served was decided since.
        self._before = read_config(path)[0] if path is not None else None

    async def run(self) -> None:
        """Look until the task is cancelled."""
        while True:
            await asyncio.sleep(self._interval_s)
            if not self._control.is_open:
                continue
            try:
                await self._look_at_configuration()
                await self._look_at_artifacts()
            except Exception as error:  # what is served still is
                self._say(f"not reloaded: {type(error).__name__}: {error}")

    async def _look_at_configuration(self) -> None:
        if self._path is None:
            return
        now = look_at(self._path)
        if now == self._config or not self._has_settled(self._path, now):
            return
        self._config = now
        try:
            config, _ = read_config(self._path)
            await self._control.follow(config)
            for name in [field.name for field in fields(config) if field.name != "models"]:
                if getattr(config, name) != getattr(self._before, name):
                    self._say(f"{self._path}: {name} has changed, which takes a restart")
            self._before = config
        except TvmSparseError as error:
            self._control.config_failures += 1
            self._say(f"not reloaded, what was served still is: {error}")

    async def _look_at_artifacts(self) -> None:
        for name, one in list(self._control.fleet.served.items()):
            now = await asyncio.to_thread(look_at, one.model)
            if now == self._control.fleet.looks.get(one.model) or not self._has_settled(
                one.model, now
            ):
                continue
            try:
                await self._control.renew(name)
            except TvmSparseError as error:
                self._say(f"{name}: not reloaded, the old one is still served: {error}")

    def _has_settled(self, path: str, now: Look) -> bool:
        """Tell whether a look is the same as the last one; copying takes its time."""
        before, self._last[path] = self._last.get(path), now
        return before == now
