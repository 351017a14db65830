"""The calls that run models: one request and its answer, and a stream of both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc

from tvm_sparse.serve.access_log import Entry, current, note
from tvm_sparse.serve.refusal import Refusal
from tvm_sparse.serve.repository import Repository
from tvm_sparse.serve.rpc.inference import parse, read_request, write_response
from tvm_sparse.serve.rpc.packing import pack_as_asked
from tvm_sparse.serve.rpc.protocol import message

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
Context = Any  # grpc.aio's types are no classes of Python


async def refuse(context: Context, error: Refusal) -> None:
    """End a call that is refused."""
    error.__traceback__ = None  # its frames hold a model, which may have been replaced
    await context.abort(CODES[error.status], error.message)


class InferCalls:
    """Answers requests to models.

    Parameters
    ----------
    repository : Repository
        What is served.
    """

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    async def once(self, data: bytes, context: Context) -> bytes:
        """Answer one request."""
        try:
            answer = await self._infer(data, context)
        except Refusal as error:
            await refuse(context, error)
        await pack_as_asked(context)
        return bytes(answer.SerializeToString())

    async def _infer(self, data: bytes, context: Context) -> Any:
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

    async def _outputs(self, data: bytes, context: Context) -> Any:
        given = parse(message("ModelInferRequest"), data)
        model = self._repository.model(given.model_name, given.model_version or "1")
        request = read_request(given, len(data))
        note(id=request.id)
        model.is_free(None)  # somebody asks beside those who ask over HTTP
        outputs = await model.answer(model.ask(request), left_s=context.time_remaining())
        return write_response(model.name, request, outputs)

    async def many(self, requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
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

    async def _infer_one_of(self, data: bytes, context: Context) -> bytes:
        answer = message("ModelStreamInferResponse")()
        try:
            answer.infer_response.CopyFrom(await self._infer(data, context))
        except Refusal as error:
            answer.error_message = error.message
            error.__traceback__ = None
        return bytes(answer.SerializeToString())
