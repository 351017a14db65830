"""What all specs share: how they are changed, and how they refuse."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tvm_sparse.errors import ConfigError

#: No size, count or seed is as large; whoever reckons with them may take them for 64-bit integers.
TOO_MANY = 1 << 40


class Spec:
    """A frozen dataclass that is validated when it is made."""

    def with_(self, **changes: Any) -> Any:
        """Return a copy with `changes` applied, validated again."""
        return replace(self, **changes)  # type: ignore[type-var]


def require(condition: bool, message: str) -> None:
    """Refuse what a spec was given, unless `condition` holds.

    Raises
    ------
    ConfigError
        With `message`.
    """
    if not condition:
        raise ConfigError(message)


def require_whole(name: str, value: int, least: int = 1) -> None:
    """Refuse a number that is too small or too large.

    Raises
    ------
    ConfigError
        If `value` is less than `least`, or than nobody could mean.
    """
    require(value >= least, f"{name} {value} given: it must be at least {least}")
    require(value < TOO_MANY, f"{name} {value} given: it must be less than {TOO_MANY}")
