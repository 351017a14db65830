"""The four forms of Triton's client, unmodified, asked in one way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import tritonclient.grpc as grpc
import tritonclient.grpc.aio as grpc_aio
import tritonclient.http as http
import tritonclient.http.aio as http_aio
from running_server import Running
from tritonclient.utils import InferenceServerException


@dataclass(frozen=True)
class Form:
    """One form of the client.

    Attributes
    ----------
    clients, inputs : module
        Where its client and its tensors are.
    waits : bool
        Whether calls return what they answer, not what is awaited for it.
    """

    clients: ModuleType
    inputs: ModuleType
    waits: bool

    def ask(self, server: Running, call: Callable[[Any], Any]) -> Any:
        """Return what a call of a new client answers."""
        over_http = self.inputs is http
        address = server.address if over_http else server.grpc_address
        if self.waits:
            with self.clients.InferenceServerClient(address) as client:
                return call(client)

        async def ask() -> Any:
            async with self.clients.InferenceServerClient(address) as client:
                return await call(client)

        return asyncio.run(ask())

    def tell(self, server: Running, name: str, *arguments: Any) -> Any:
        """Return the document that a call answers, words for all numbers, without what is empty."""
        more = {} if self.inputs is http else {"as_json": True}
        return _plain(self.ask(server, lambda client: getattr(client, name)(*arguments, **more)))

    def infer(self, server: Running, model: str, *given: Any, **more: Any) -> Any:
        """Return the answer of a model."""
        return self.ask(server, lambda client: client.infer(model, list(given), **more))

    def refusal(self, server: Running, name: str, *arguments: Any, **more: Any) -> tuple[str, str]:
        """Return the code and the message with which a call is refused."""
        try:
            self.ask(server, lambda client: getattr(client, name)(*arguments, **more))
        except InferenceServerException as error:
            return error.status().removeprefix("StatusCode."), error.message()
        raise AssertionError(f"{name} {arguments} is not refused")

    def tensor(self, name: str, values: np.ndarray | list[str]) -> Any:
        """Return an input."""
        values = np.array(values, object) if isinstance(values, list) else values
        datatype = "BYTES" if values.dtype == object else str(values.dtype).upper()
        made = self.inputs.InferInput(name, values.shape, datatype.replace("FLOAT", "FP"))
        made.set_data_from_numpy(values)
        return made


FORMS = {
    "http": Form(http, http, True),
    "http.aio": Form(http_aio, http, False),
    "grpc": Form(grpc, grpc, True),
    "grpc.aio": Form(grpc_aio, grpc, False),
}


def _plain(document: Any) -> Any:
    if isinstance(document, dict):
        plain = {name: _plain(value) for name, value in document.items()}
        return {name: value for name, value in plain.items() if value not in ({}, [], "", "0")}
    if isinstance(document, list):
        return [_plain(one) for one in document]
    return str(document)
