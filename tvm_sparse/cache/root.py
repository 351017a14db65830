"""Where the cache is."""

from __future__ import annotations

import os
from pathlib import Path

#: What asks for the user's own cache directory, which all projects share.
USER_CACHE = "user"
#: Below the directory that a user works in.
_PROJECT_CACHE = "cache"


def cache_root(chosen: str | os.PathLike[str] | None = None) -> Path:
    """Return the directory of the cache.

    Parameters
    ----------
    chosen : path-like or None
        A directory, or `user` for the user's cache directory (`$XDG_CACHE_HOME`, else
        `~/.cache`); None means what `$TVM_SPARSE_CACHE` says, else `./cache`.
    """
    chosen = chosen or os.environ.get("TVM_SPARSE_CACHE") or _PROJECT_CACHE
    if chosen == USER_CACHE:
        chosen = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "tvm_sparse"
    return Path(chosen).expanduser().absolute()
