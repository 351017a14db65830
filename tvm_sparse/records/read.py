"""Read JSON into typed values, and refuse in one line what is not exactly of their type.

Dataclasses stay plain: msgspec checks them from outside, see decision record 0012.
"""

from __future__ import annotations

import copy
import os
import re
import reprlib
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from tvm_sparse.errors import TvmSparseError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Record = TypeVar("Record", bound="DataclassInstance")

#: Far above any record: a study of a thousand points has 5 MB.
_MOST_BYTES = 64 << 20
#: What every reader of JSON agrees on: an integer has 64 bits.
_LEAST, _MOST = -(1 << 63), (1 << 63) - 1
_LONGEST_FAULT = 400
# What may be a number beyond those: there is seldom one, and only then are all numbers looked at.
_LONG = re.compile(rb"\d{19}")
# A step of a path in msgspec's messages: a field, a position, or some key of a mapping.
_STEP = re.compile(r"\.(\w+)|\[(\d+|\.\.\.)\]")


def read_record(
    path: str | os.PathLike[str], kind: type[Record], error: type[TvmSparseError], advice: str
) -> Record:
    """Read a file that `write_json` wrote.

    Parameters
    ----------
    path : path
        The file.
    kind : type
        What it must hold: a dataclass. If that has a field `schema_version`, its default is the
        version that is read.
    error : type
        Raised if it holds something else.
    advice : str
        What to do then; the end of the message.

    Raises
    ------
    TvmSparseError
        Of the class `error`: the file cannot be read, is no JSON, is of another schema version,
        or a field is missing, unknown or of another type.
    """
    return check_record(read_json(path, error, advice), kind, str(path), error, advice)


def read_json(path: str | os.PathLike[str], error: type[TvmSparseError], advice: str = "") -> Any:
    """Read a JSON file of anything.

    Parameters
    ----------
    path : path
        The file.
    error, advice
        As `read_record` takes them.

    Raises
    ------
    TvmSparseError
        Of the class `error`: the file cannot be read, is too large or is no JSON.
    """
    data = read_bytes(path, _MOST_BYTES, error, advice)
    return parse_json(data, str(path), error, advice)


def read_bytes(
    path: str | os.PathLike[str], most_bytes: int, error: type[TvmSparseError], advice: str = ""
) -> bytes:
    """Return what a file holds, unless that is too much.

    Parameters
    ----------
    path : path
        The file.
    most_bytes : int
        The largest file that is read, in bytes; whole megabytes.
    error, advice
        As `read_record` takes them.

    Raises
    ------
    TvmSparseError
        Of the class `error`: the file cannot be read or is too large.
    """
    try:
        with open(path, "rb") as stream:
            data = stream.read(most_bytes + 1)
    except (OSError, ValueError) as fault:  # a name with a zero byte is a ValueError
        reason = getattr(fault, "strerror", None) or fault
        raise error(f"{path} cannot be read: {reason}") from None
    if len(data) > most_bytes:
        raise error(one_line(f"{path} is larger than {most_bytes >> 20} MB", advice))
    return data


def parse_json(
    data: bytes | str, origin: str, error: type[TvmSparseError], advice: str = ""
) -> Any:
    """Parse strict JSON: no NaN, no infinity, no nesting that exhausts the stack, 64-bit integers.

    Parameters
    ----------
    data : bytes or str
        The text.
    origin : str
        Where it is from, for messages.
    error, advice
        As `read_record` takes them.

    Raises
    ------
    TvmSparseError
        Of the class `error`: it is no JSON.
    """
    try:
        data = data.encode() if isinstance(data, str) else data
        document = msgspec.json.decode(data)
        if not (_LONG.search(data) and holds_long(document)):
            return document
        reason = "a number in it has more than 64 bits"
    except RecursionError:
        reason = "it is nested too deeply"
    except ValueError as fault:
        reason = str(fault)
    raise error(one_line(f"{origin} is not valid JSON ({reason})", advice))


def check_record(
    document: Any, kind: type[Record], origin: str, error: type[TvmSparseError], advice: str = ""
) -> Record:
    """Return the record that a parsed JSON document holds.

    Parameters
    ----------
    document : object
        What `read_json` returned.
    kind, error, advice
        As `read_record` takes them.
    origin : str
        Where it is from, for messages.

    Raises
    ------
    TvmSparseError
        Of the class `error`: it holds something else.
    """
    needed = schema_version(kind)
    if needed is not None:
        found = document.get("schema_version") if isinstance(document, dict) else None
        if found != needed:
            fault = f"{origin} has schema version {found}, {needed} is needed"
            raise error(one_line(fault, advice))
    record: Record = check_types(document, kind, origin, error, advice)
    fault = next(_strays(document, record, ""), "")
    if fault:
        raise error(one_line(f"{origin}: {fault}", advice))
    return record


def check_types(
    document: Any, kind: Any, origin: str, error: type[TvmSparseError], advice: str = ""
) -> Any:
    """Return what of a parsed document is of a type.

    Fields that the type does not name are left out: files of others hold more than we read.

    Parameters
    ----------
    document : object
        As JSON or YAML has it.
    kind : type
        What it must be, for example a `TypedDict`; bounds of numbers are `msgspec.Meta`.
    origin : str
        Where it is from, for messages.
    error, advice
        As `read_record` takes them.

    Raises
    ------
    TvmSparseError
        Of the class `error`: it holds something else.
    """
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError as invalid:
        fault = _explain(invalid, document, kind)
    except (
        TvmSparseError,
        ArithmeticError,
    ) as invalid:  # from a dataclass that looks at its values
        fault = str(invalid)
    raise error(one_line(f"{origin}: {fault}", advice))


def check_settings(
    document: Any, kind: type[Record], origin: str, error: type[TvmSparseError]
) -> Record:
    """Return the record that somebody wrote by hand: fields that have a default may be left out.

    Parameters
    ----------
    document : object
        As JSON or YAML has it.
    kind, error
        As `read_record` takes them.
    origin : str
        Where it is from, for messages.

    Raises
    ------
    TvmSparseError
        Of the class `error`: a field is missing, unknown or of another type.
    """
    record: Record = check_types(document, kind, origin, error)
    fault = next(_strays(document, record, "", whole=False), "")
    if fault:
        raise error(one_line(f"{origin}: {fault}", ""))
    return record


def holds_long(document: Any) -> bool:
    """Tell whether a document holds an integer of more than 64 bits."""
    waiting = [document]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, int) and not _LEAST <= value <= _MOST:
            return True
    return False


def one_line(fault: str, advice: str) -> str:
    """Return a message that stays short: names in files of others may have any length."""
    if len(fault) > _LONGEST_FAULT:
        half = _LONGEST_FAULT // 2
        fault = f"{fault[:half]}...{fault[-half:]}"
    return f"{fault}: {advice}" if advice else fault


def schema_version(kind: type[DataclassInstance]) -> Any:
    """Return the schema version of a record's class, None if it has none."""
    return next((f.default for f in fields(kind) if f.name == "schema_version"), None)


def _explain(invalid: msgspec.ValidationError, document: Any, kind: Any) -> str:
    """Return `path: fault`, with the names of keys, for which msgspec writes `[...]`."""
    what, _, where = str(invalid).partition(" - at `$")
    document = here = copy.copy(document)
    path = ""
    for name, index in _STEP.findall(where):
        step: str | int | None = int(index) if index.isdigit() else name
        if index == "...":
            # The key that fails in the same way when it is alone.
            step = None
            members = dict(here)
            for key, value in members.items():
                here.clear()
                here[key] = value
                if _fault(document, kind) == str(invalid):
                    step = key
                    break
        if step is None:
            break
        here[step] = copy.copy(here[step])
        here = here[step]
        path += f"[{step}]" if isinstance(step, int) else f".{step}"
    what = what.replace("`", "")
    if what.startswith("Expected") and ", got" not in what:
        what += f", got {reprlib.repr(here)}"
    return f"{path.removeprefix('.')}: {what}" if path else what


def _fault(document: Any, kind: Any) -> str:
    try:
        msgspec.convert(document, kind)
    except msgspec.ValidationError as invalid:
        return str(invalid)
    return ""


def _strays(given: Any, read: Any, path: str, whole: bool = True) -> Iterator[str]:
    """Yield what a document has beyond what was read of it, and what it lacks if it is `whole`."""
    if is_dataclass(read):
        names = [field.name for field in fields(read)]
        yield from (f"{path}{name}: unknown field" for name in given if name not in names)
        if whole:
            yield from (f"{path}{name}: field is missing" for name in names if name not in given)
        for name in names:
            if name in given:
                yield from _strays(given[name], getattr(read, name), f"{path}{name}.", whole)
    elif isinstance(read, dict) and read is not given:
        for name, value in read.items():
            yield from _strays(given[name], value, f"{path}{name}.", whole)
    elif isinstance(read, tuple) and given and isinstance(given[0], (dict, list)):
        for index, (ours, theirs) in enumerate(zip(given, read, strict=True)):
            yield from _strays(ours, theirs, f"{path.removesuffix('.')}[{index}].", whole)
