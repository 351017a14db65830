"""The calls of the Open Inference Protocol over gRPC.

Each is answered from the same documents and by the same models as over HTTP. Messages are parsed
here, and not by gRPC, so that bytes that are none are refused like everything else that is wrong.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.json_format import ParseDict

from tvm_sparse.serve.access_log import Entry, current, note
from tvm_sparse.serve.descriptions import (
    describe_config,
    describe_model,
    describe_repository,
    describe_server,
    describe_statistics,
)
from tvm_sparse.serve.refusal import Refusal
from tvm_sparse.serve.repository import Repository
from tvm_sparse.serve.rpc.inference import (
    parse,
    read_parameters,
    read_request,
    write_response,
)
from tvm_sparse.serve.rpc.packing import pack_as_asked
from tvm_sparse.serve.rpc.protocol import PACKAGE, message
from tvm_sparse.serve.served_model import ServedModel

#: What Triton says where it would say a status of HTTP.
CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    404: grpc.StatusCode.NOT_FOUND,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    499: grpc.StatusCode.CANCELLED,
    500: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
#: Requests of one stream that are under way.
_AT_A_TIME = 64
_Context = Any  # grpc.aio's types are no classes of Python
_Call = Callable[[bytes, _Context], Awaitable[bytes]]


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
        calls = {name: self._told(name, told) for name, told in self._documents().items()}
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(call)
            for name, call in {**calls, "ModelInfer": self._infer_once}.items()
        }
        handlers["ModelStreamInfer"] = grpc.stream_stream_rpc_method_handler(self._infer_many)
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

        async def call(data: bytes, context: _Context) -> bytes:
            try:
                answer = ParseDict(await told(parse(asks, data)), answers())
            except Refusal as error:
                await _refuse(context, error)
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

    async def _infer_once(self, data: bytes, context: _Context) -> bytes:
        try:
            answer = await self._infer(data, context)
        except Refusal as error:
            await _refuse(context, error)
        await pack_as_asked(context)
        return bytes(answer.SerializeToString())

    async def _infer(self, data: bytes, context: _Context) -> Any:
        """Answer a request, and write it down if such is wanted."""
        log = self._repository.access_log
        if log is None:
            return await self._outputs(data, context)
        entry = Entry("GRPC", "ModelInfer", received=len(data))
        current.set(entry)
        try:
            answer = await self._outputs(data, context)
            entry.status, entry.sent = 200, answer.ByteSize()
            return answer
        except Refusal as error:
            entry.status = error.status
            raise
        finally:
            log.write(entry)

    async def _outputs(self, data: bytes, context: _Context) -> Any:
        given = parse(message("ModelInferRequest"), data)
        model = self._repository.model(given.model_name, given.model_version or "1")
        request = read_request(given, len(data))
        note(id=request.id)
        model.check(request)
        outputs = await model.infer(request, left_s=context.time_remaining())
        return write_response(model.name, request, outputs)

    async def _infer_many(
        self, requests: AsyncIterator[bytes], context: _Context
    ) -> AsyncIterator[bytes]:
        """Answer each request of a stream, in their order; one that is refused ends nothing."""
        under_way: asyncio.Queue[asyncio.Task[bytes] | None] = asyncio.Queue()
        free = asyncio.Semaphore(_AT_A_TIME)

        async def read() -> None:
            try:
                async for data in requests:
                    await free.acquire()
                    under_way.put_nowait(asyncio.create_task(self._infer_one_of(data, context)))
            finally:
                under_way.put_nowait(None)

        reader = asyncio.create_task(read())
        try:
            await pack_as_asked(context)
            while (task := await under_way.get()) is not None:
                yield await task
                free.release()
        finally:
            reader.cancel()
            while not under_way.empty():
                task = under_way.get_nowait()
                if task is not None:
                    task.cancel()

    async def _infer_one_of(self, data: bytes, context: _Context) -> bytes:
        answer = message("ModelStreamInferResponse")()
        try:
            answer.infer_response.CopyFrom(await self._infer(data, context))
        except Refusal as error:
            answer.error_message = error.message
            error.__traceback__ = None
        return bytes(answer.SerializeToString())


async def _refuse(context: _Context, error: Refusal) -> None:
    error.__traceback__ = None  # its frames hold a model, which may have been replaced
    await context.abort(CODES[error.status], error.message)
