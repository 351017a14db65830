"""Read YAML that people write by hand: plain values, not much of it, not nested deeply.

Of YAML's own types, dates and such stay texts, and so does `1:32`, which YAML takes for minutes and
seconds. Tags and aliases are refused: a few lines with them stand for billions of values.
"""

from __future__ import annotations

import os
import re
from typing import Any

from tvm_sparse.errors import TvmSparseError
from tvm_sparse.records.read import holds_long, read_bytes

#: Both far above what a person writes.
_MOST_BYTES = 1 << 20
_DEEPEST = 20
#: Numbers to the base of 60, of which YAML 1.1 knows whole and broken ones.
_SIXTIETHS = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?$")


def read_yaml(path: str | os.PathLike[str], error: type[TvmSparseError]) -> Any:
    """Read a YAML file of anything that JSON can say.

    Parameters
    ----------
    path : path
        The file, in UTF-8.
    error : type
        Raised if it cannot be read.

    Raises
    ------
    TvmSparseError
        Of the class `error`: the file cannot be read, is too large, no YAML, or not plain.
    """
    data = read_bytes(path, _MOST_BYTES, error)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise error(f"{path} is no YAML file: it is not in UTF-8") from None
    return parse_yaml(text, str(path), error)


def parse_yaml(text: str, origin: str, error: type[TvmSparseError]) -> Any:
    """Parse YAML of anything that JSON can say.

    Parameters
    ----------
    text : str
        Of a length that somebody has looked at.
    origin : str
        Where it is from, for messages.
    error : type
        Raised if it cannot be parsed.

    Raises
    ------
    TvmSparseError
        Of the class `error`: it is no YAML, or not plain.
    """
    import yaml

    try:
        reason = _obstacle(text)
        if not reason:
            document = yaml.load(text, Loader=_plain_loader())
            if not holds_long(document):
                return document
            reason = "a number in it has more than 64 bits"
    except yaml.YAMLError as fault:
        mark = getattr(fault, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        reason = f"{getattr(fault, 'problem', None) or str(fault).splitlines()[0]}{where}"
    except (ValueError, OverflowError):
        reason = "a number in it is too long"
    raise error(f"{origin} is no YAML file: {reason}")


def _obstacle(text: str) -> str:
    """Return why a text is not read, before any value of it is made; empty if nothing is."""
    import yaml

    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        where = f"in line {event.start_mark.line + 1}"
        if isinstance(event, yaml.AliasEvent):
            return f"the alias {where} is not read"
        if getattr(event, "tag", None):
            return f"the tag {where} is not read"
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _DEEPEST:
                return f"it is nested too deeply {where}"
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
    return ""


def _plain_loader() -> Any:
    import yaml

    resolvers = {
        first: [found for found in those if not found[0].endswith(":timestamp")]
        for first, those in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    for first in "0123456789+-":
        resolvers[first] = [("tag:yaml.org,2002:str", _SIXTIETHS), *resolvers.get(first, [])]
    return type("PlainLoader", (yaml.SafeLoader,), {"yaml_implicit_resolvers": resolvers})
