"""Ask all models of a server that answer questions the same one: ask_triton.py [HOST:PORT].

With Triton's client.
"""

import sys
import time

import numpy as np
import tritonclient.http as http

QUESTION = "Who kept the lamp?"
CONTEXT = "Marta Holm kept the lamp of the lighthouse for thirty-four years."


def text(name: str, value: str) -> http.InferInput:
    """Return an input of one text."""
    given = http.InferInput(name, [1], "BYTES")
    given.set_data_from_numpy(np.array([value], object))
    return given


def main(address: str) -> None:
    """Print a line for each of these models."""
    with http.InferenceServerClient(address) as client:
        inputs = [text("QUESTION", QUESTION), text("CONTEXT", CONTEXT)]
        for row in client.get_model_repository_index():
            name = row["name"]
            taken = [one["name"] for one in client.get_model_metadata(name)["inputs"]]
            if taken != ["QUESTION", "CONTEXT"]:
                continue
            client.infer(name, inputs)  # the first time weights come from the disk
            start = time.perf_counter()
            result = client.infer(name, inputs)
            took = 1000 * (time.perf_counter() - start)
            answer, score = (result.as_numpy(one)[0] for one in ("ANSWER", "SCORE"))
            print(f"{name:16} {took:7.2f} ms  {score:.3f}  {answer.decode()}")


if __name__ == "__main__":
    main(*(sys.argv[1:] or ["127.0.0.1:5543"]))
