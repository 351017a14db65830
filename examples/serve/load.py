"""Put load on a model from several clients at once: load.py MODEL [CLIENTS] [SECONDS] [HOST:PORT].

It shows what waiting requests do to each other. To measure a server, take wrk, hey or h2load,
which cost less themselves.
"""

import asyncio
import random
import sys
import time

import numpy as np
import tritonclient.http.aio as http
from tritonclient.utils import InferenceServerException

WORDS = ("the", "lamp", "of", "a", "lighthouse", "was", "kept", "by", "one", "family", "and")


def text(name: str, value: str) -> http.InferInput:
    """Return an input of one text."""
    given = http.InferInput(name, [1], "BYTES")
    given.set_data_from_numpy(np.array([value], object))
    return given


async def ask(
    client: http.InferenceServerClient, model: str, until: float, times: list[float]
) -> int:
    """Ask questions of passages of 5 to 250 words until a time; return how many were refused."""
    refused = 0
    while time.perf_counter() < until:
        passage = " ".join(random.choices(WORDS, k=random.randint(5, 250)))
        start = time.perf_counter()
        try:
            await client.infer(model, [text("QUESTION", "Who kept it?"), text("CONTEXT", passage)])
        except InferenceServerException as error:
            if error.status() != "503":
                raise
            refused += 1
            continue
        times.append(1000 * (time.perf_counter() - start))
    return refused


async def main(model: str, clients: int = 8, seconds: float = 10, address: str = "") -> None:
    """Print what was reached."""
    times: list[float] = []
    async with http.InferenceServerClient(
        address or "127.0.0.1:5543", conn_limit=clients
    ) as client:
        until = time.perf_counter() + seconds
        refused = await asyncio.gather(*(ask(client, model, until, times) for _ in range(clients)))
    p50, p99 = np.percentile(times, [50, 99])
    print(
        f"{model}, {clients} clients: {len(times) / seconds:.0f} answers a second, "
        f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, {sum(refused)} refused"
    )


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    kinds = zip((str, int, float, str), sys.argv[1:], strict=False)
    asyncio.run(main(*(kind(value) for kind, value in kinds)))
