"""Write texts and JSON so that a file appears complete or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from dataclasses import asdict, is_dataclass
from typing import Any

from tvm_sparse.errors import BuildError

# A string holds no line break in JSON: what this finds is no part of one.
_NUMBERS = re.compile(r"\[\n[^\[\]{}\"]+\]")


def json_text(record: Any) -> str:
    """Return a record as indented JSON, lists of numbers on one line.

    Parameters
    ----------
    record : object
        A dataclass, or JSON-ready values.

    Raises
    ------
    ValueError
        A number in it is not finite, which JSON cannot say.
    """
    values = asdict(record) if is_dataclass(record) and not isinstance(record, type) else record
    text = json.dumps(values, indent=1, allow_nan=False)
    # Thousands of samples would be thousands of lines.
    return _NUMBERS.sub(lambda found: f"[{' '.join(found[0][1:-1].split())}]", text) + "\n"


def write_json(path: str | os.PathLike[str], record: Any) -> None:
    """Write a record as JSON; the file appears complete or not at all.

    Parameters
    ----------
    path : path
        The file; its directory is made.
    record : object
        As `json_text` takes it.

    Raises
    ------
    BuildError
        If the file cannot be written.
    ValueError
        If a number in the record is not finite.
    """
    write_text(path, json_text(record))


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text in UTF-8; the file appears complete or not at all.

    Parameters
    ----------
    path : path
        The file; its directory is made. What is no plain file, such as a pipe, is written to.
    text : str
        Its content.

    Raises
    ------
    BuildError
        If the file cannot be written.
    """
    temporary = None
    try:
        if os.path.exists(path) and not os.path.isfile(path):
            with open(path, "w", encoding="utf-8") as stream:
                stream.write(text)
            return
        target = os.path.realpath(path)  # the file behind a link is replaced, and not the link
        folder, name = os.path.split(target)
        os.makedirs(folder, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=folder)
        with open(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.chmod(temporary, 0o644)  # mkstemp makes files only their owner can read
        os.replace(temporary, target)
        temporary = None
    except OSError as error:
        raise BuildError(f"{path} cannot be written: {error.strerror or error}") from None
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
