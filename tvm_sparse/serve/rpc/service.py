"""The calls of the Open Inference Protocol over gRPC.

Each is answered from the same documents and by the same models as over HTTP. Messages are parsed
here, and not by gRPC, so that bytes that are none are refused like everything else that is wrong.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.json_format import ParseDict

from tvm_sparse.serve.descriptions import (
    describe_config,
    describe_model,
    describe_repository,
    describe_server,
    describe_statistics,
)
from tvm_sparse.serve.refusal import Refusal
from tvm_sparse.serve.repository import Repository
from tvm_sparse.serve.rpc.infer_calls import Context, InferCalls, refuse
from tvm_sparse.serve.rpc.inference import parse, read_parameters
from tvm_sparse.serve.rpc.protocol import PACKAGE, message
from tvm_sparse.serve.served_model import ServedModel

_Call = Callable[[bytes, Context], Awaitable[bytes]]


class Service:
    """Answers calls.

    Parameters
    ----------
    repository : Repository
        What is served.
    """

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def handler(self) -> grpc.GenericRpcHandler:
        """Return what a server of gRPC is given."""
        inference = InferCalls(self._repository)
        calls = {name: self._told(name, told) for name, told in self._documents().items()}
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(call)
            for name, call in {**calls, "ModelInfer": inference.once}.items()
        }
        handlers["ModelStreamInfer"] = grpc.stream_stream_rpc_method_handler(inference.many)
        return grpc.method_handlers_generic_handler(f"{PACKAGE}.GRPCInferenceService", handlers)

    def _documents(self) -> dict[str, Callable[[Any], Awaitable[Any]]]:
        """Return what makes the document that is answered, by the call."""
        return {
            "ServerLive": self._server_live,
            "ServerReady": self._server_ready,
            "ServerMetadata": self._server,
            "ModelReady": self._model_ready,
            "ModelMetadata": self._model,
            "ModelConfig": self._config,
            "ModelStatistics": self._statistics,
            "RepositoryIndex": self._index,
            "RepositoryModelLoad": self._load,
            "RepositoryModelUnload": self._unload,
        }

    def _told(self, name: str, told: Callable[[Any], Awaitable[Any]]) -> _Call:
        """Return a call that is answered with a document."""
        asks, answers = message(f"{name}Request"), message(f"{name}Response")

        async def call(data: bytes, context: Context) -> bytes:
            try:
                answer = ParseDict(await told(parse(asks, data)), answers())
            except Refusal as error:
                await refuse(context, error)
            return bytes(answer.SerializeToString())

        return call

    async def _server_live(self, _asked: Any) -> Any:
        return {"live": True}

    async def _server_ready(self, _asked: Any) -> Any:
        return {"ready": self._repository.ready}

    async def _server(self, _asked: Any) -> Any:
        return describe_server()

    async def _model_ready(self, asked: Any) -> Any:
        try:
            return {"ready": self._find(asked).ready}
        except Refusal:
            return {"ready": False}

    async def _model(self, asked: Any) -> Any:
        return describe_model(self._find(asked))

    async def _config(self, asked: Any) -> Any:
        return {"config": describe_config(self._find(asked))}

    async def _statistics(self, asked: Any) -> Any:
        name = asked.name and self._find(asked).name
        counts = await self._repository.statistics()
        return describe_statistics(counts.of(name) if name else counts.models)

    async def _index(self, asked: Any) -> Any:
        return {"models": describe_repository(self._repository, asked.ready)}

    async def _load(self, asked: Any) -> Any:
        await self._repository.load(asked.model_name, read_parameters(asked.parameters))
        return {}

    async def _unload(self, asked: Any) -> Any:
        await self._repository.unload(asked.model_name)
        return {}

    def _find(self, asked: Any) -> ServedModel:
        return self._repository.model(asked.name, asked.version or "1")
