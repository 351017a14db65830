"""What frameworks and transformers raise on a model that they or we cannot take: a refusal.

Their errors are of dozens of classes and run over pages; what matters of them is one line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from tvm_sparse.errors import FrontendError, TvmSparseError
from tvm_sparse.processes.memory import is_lack_of_memory

_MOST_CHARACTERS = 300
_LAYER = re.compile(r"Exception encountered when calling layer '.*?' \(type (\w+)\)\. ")
_NOISE = re.compile(r"\{\{function_node .*?\}\} | ?\[Op:\w+\].*| Call arguments received by .*")
_BRANCH = "it branches on the values of tensors, which is not imported"
#: How PyTorch's export begins to say so, and where it says which line does.
_GUARD = "Could not guard on data-dependent expression"
_LINE = re.compile(r"Caused by: \((?:\S*/)?(\S+:\d+) in ")


@contextmanager
def refusing(doing: str) -> Iterator[None]:
    """Turn whatever is raised within, out of memory and files aside, into a refusal.

    Parameters
    ----------
    doing : str
        What is being done, for the message: "TFBertModel cannot be ...".

    Raises
    ------
    FrontendError
        Its cause is what was raised.
    """
    try:
        yield
    except (TvmSparseError, OSError, MemoryError):
        raise
    except Exception as error:
        if is_lack_of_memory(error):
            raise
        raise FrontendError(f"{doing}: {reason(error)}") from error


def reason(error: Exception) -> str:
    """Return an error's text as one short line, with the class of the Keras layer it is from."""
    text = " ".join(str(error).split()) or type(error).__name__
    layer = _LAYER.match(text)
    text = _NOISE.sub("", _LAYER.sub("", text))
    if type(error).__name__ == "OperatorNotAllowedInGraphError":
        text = _BRANCH
    elif text.startswith(_GUARD):
        line = _LINE.search(text)
        text = f"{_BRANCH} ({line[1]})" if line else _BRANCH
    elif isinstance(error, LookupError):
        text = f"{type(error).__name__}: {text}"
    text = f"{layer[1]}: {text}" if layer else text
    return text if len(text) <= _MOST_CHARACTERS else text[: _MOST_CHARACTERS - 3] + "..."
