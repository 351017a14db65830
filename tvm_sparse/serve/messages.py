"""Bodies of HTTP requests and responses: bounded, packed and unpacked."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import orjson

from tvm_sparse.serve.refusal import Refusal, canceled, wrong

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = dict[bytes, bytes]
JSON = b"application/json"
_FIRST_LINES = {one.value: f"HTTP/1.1 {one.value} {one.phrase}\r\n".encode() for one in HTTPStatus}
#: zlib's numbers for what HTTP calls gzip and deflate; the latter also comes without its header.
_WINDOWS = {"gzip": 31, "deflate": 15}
_BARE = -15


@dataclass(frozen=True)
class Answer:
    """A response.

    Attributes
    ----------
    body : bytes
        What it says.
    status : int
        Of HTTP.
    kind : bytes
        Type of the body.
    more : tuple of (bytes, bytes)
        Further headers.
    """

    body: bytes
    status: int = 200
    kind: bytes = JSON
    more: tuple[tuple[bytes, bytes], ...] = ()


async def read_body(receive: Receive, headers: Headers, most: int) -> bytes:
    """Return the body of a request, unpacked.

    Raises
    ------
    Refusal
        It is larger than `most` bytes, packed in another way or damaged, or the client left.
    """
    length = headers.get(b"content-length", b"")
    if length.isdigit() and int(length) > most:
        raise _too_large(most)
    message = await receive()
    body = message.get("body", b"")
    if message.get("more_body"):
        parts, size = [body], len(body)
        while message.get("more_body"):
            message = await receive()
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > most:
                raise _too_large(most)
        body = b"".join(parts)
    if message["type"] == "http.disconnect":
        raise canceled("the client has left")
    packing = headers.get(b"content-encoding", b"identity").lower()
    if packing != b"identity":
        body = _unpack(body, packing.decode("latin-1"), most)
    if len(body) > most:
        raise _too_large(most)
    return bytes(body)


async def respond(send: Send, answer: Answer) -> None:
    """Send a response."""
    length = (b"content-length", b"%d" % len(answer.body))
    headers = [(b"content-type", answer.kind), length, *answer.more]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


def on_the_wire(answer: Answer) -> bytes:
    """Return a response as HTTP 1.1 has it."""
    more = b"".join([b"%b: %b\r\n" % pair for pair in answer.more])
    return b"%bcontent-type: %b\r\n%bcontent-length: %d\r\n\r\n%b" % (
        *(_FIRST_LINES[answer.status], answer.kind),
        *(more, len(answer.body), answer.body),
    )


def closing(response: bytes) -> bytes:
    """Return a response that is the last one of its connection."""
    return response.replace(b"\r\n", b"\r\nconnection: close\r\n", 1)


def refused(error: Refusal) -> Answer:
    """Return what a client is told that is refused; the refusal forgets where it was raised."""
    # Its frames hold the model, and somewhere hold the error: a circle that would keep a model
    # that is replaced.
    error.__traceback__ = None
    more = ((b"allow", error.allow.encode()),) if error.allow else ()
    return Answer(to_json({"error": error.message}), error.status, more=more)


def to_json(document: Any) -> bytes:
    """Return a document as JSON, arrays and numbers of numpy included."""
    return bytes(orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY))


def pack(body: bytes, accepted: str) -> tuple[bytes, str]:
    """Return a body as a client wants it, and how it is packed; empty if it is not."""
    packing = choose_packing(accepted)
    if packing == "gzip":
        body = gzip.compress(body, 1)
    elif packing == "deflate":
        body = zlib.compress(body, 1)
    return body, packing


def choose_packing(accepted: str) -> str:
    """Return `gzip`, `deflate` or nothing: what a client that accepts such encodings gets."""
    offered = [one.partition(";")[0].strip().lower() for one in accepted.split(",")]
    return next((one for one in ("gzip", "deflate") if one in offered), "")


def _unpack(body: bytes, packing: str, most: int) -> bytes:
    if packing not in _WINDOWS:
        raise wrong(f"content-encoding '{packing[:40]}' given: gzip and deflate are read")
    bare = packing == "deflate" and body[:1] and (body[0] & 15 != 8 or body[0] >> 4 > 7)
    unpacker = zlib.decompressobj(_BARE if bare else _WINDOWS[packing])
    try:
        data = unpacker.decompress(body, most + 1)
    except zlib.error:
        raise wrong(f"the body is no {packing}") from None
    if len(data) > most:
        raise _too_large(most)
    if not unpacker.eof:
        raise wrong(f"the body ends within its {packing}")
    return data


def _too_large(most: int) -> Refusal:
    return Refusal(413, f"the body is larger than {most >> 20} MB")
