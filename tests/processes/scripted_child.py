"""A child process that does as its request says."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tvm_sparse.errors import ConfigError, UnsupportedOpError
from tvm_sparse.processes.serve import serve

ERRORS = {
    "ours": ConfigError("seq-len 9 given"),
    "list": UnsupportedOpError([("Foo", "a/b"), ("Bar", "c")]),
    "disk": OSError(28, "No space left on device", "/x"),
    "words": RuntimeError("No space left on device"),
    "unforeseen": ValueError("something\nelse"),
    "memory": MemoryError(),
}


def carry_out(request, report):
    match request["do"]:
        case "count":
            print("noise of a library")
            os.system("echo more of it")
            for number in range(request["to"]):
                report(number)
            return {"sum": sum(range(request["to"]))}
        case "environment":
            return dict(os.environ)
        case "raise":
            raise ERRORS[request["error"]]
        case "die":
            sys.stderr.write(request.get("words", ""))
            if "signal" in request:
                os.kill(os.getpid(), request["signal"])
            os._exit(request["status"])
        case "sleep":
            report(os.getpid())
            time.sleep(600)
        case "compute":
            report(os.getpid())
            sum(range(10**12))  # one call of C code, which never lets another thread run
        case "stop":
            report(os.getpid())
            os.kill(os.getpid(), signal.SIGSTOP)
        case "spawn":
            report(subprocess.Popen(["sleep", "600"]).pid)
            time.sleep(600)


if __name__ == "__main__":
    if "SLOW_START" in os.environ:
        Path(os.environ["SLOW_START"]).write_text(str(os.getpid()))
        time.sleep(600)
    serve(carry_out)
