"""Checkpoints on the Hugging Face hub: from its local cache, else fetched, with a short wait.

No network is a normal case here, so the first question to the hub is asked with a deadline that
covers name resolution too, and every failure is a reason in words for the caller to pass on.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tvm_sparse.errors import CheckpointError
from tvm_sparse.progress import Progress
from tvm_sparse.sources.checkpoint import (
    WEIGHT_FILES,
    find_weights,
    shard_names,
)
from tvm_sparse.sources.other_formats import describe_other_weights
from tvm_sparse.text.checkpoint_text import is_text_file

WAIT_S = 4.0


class HubUnavailableError(Exception):
    """The hub gave no checkpoint; the text says why. `answered` if it was reached at all."""

    def __init__(self, reason: str, answered: bool = False) -> None:
        super().__init__(reason)
        self.answered = answered


def cached_checkpoint(hub_id: str) -> Path | None:
    """Return the snapshot directory of a checkpoint that is whole in the hub's cache, or None.

    Raises
    ------
    CheckpointError
        What is there is incomplete, or in a format that is not read: the hub may have better.
    """
    directory = _snapshot(hub_id)
    return directory if directory and find_weights(directory) else None


def cached_config(hub_id: str) -> Path | None:
    """Return the snapshot directory in the hub's cache that has a model's config, or None."""
    return _snapshot(hub_id)


def fetch_checkpoint(hub_id: str, progress: Progress, config_only: bool = False) -> Path:
    """Download a hub model's config, weights and tokenizer into the hub's cache.

    `config_only` leaves the weights and the tokenizer where they are. Returns the directory.

    Raises
    ------
    HubUnavailableError
        Offline, not reachable within `WAIT_S` seconds, no such model, or no weights.
    CheckpointError
        There are weights, which are not read or did not arrive.
    """
    if _is_offline():
        raise HubUnavailableError("HF_HUB_OFFLINE is set")
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.utils import disable_progress_bars

    sizes = _list_files(hub_id)
    wanted = _wanted_files(sizes)
    if "config.json" not in sizes:
        raise HubUnavailableError("the hub's copy has no config.json", answered=True)
    if config_only:
        wanted = ()
    elif not wanted:
        if refusal := describe_other_weights(sorted(sizes)):
            raise CheckpointError(f"{hub_id} on the hub has its weights only in {refusal}")
        raise HubUnavailableError("the hub has no weights of it", answered=True)
    else:
        wanted += tuple(filter(is_text_file, sizes))
    size_bytes = sum(sizes[name] or 0 for name in wanted)
    size = f"{size_bytes / 1e6:.0f} MB" if wanted else "config.json"
    progress(f"downloading {hub_id} ({size})")
    disable_progress_bars()
    try:
        for name in ("config.json", *wanted):
            path = Path(_download(hf_hub_download, constants, hub_id, name))
            if name == "config.json":
                directory = path.parent
            if name.endswith(".index.json"):
                for shard in shard_names(path):
                    _download(hf_hub_download, constants, hub_id, shard)
    except Exception as error:  # any of a dozen classes of three libraries
        raise CheckpointError(
            f"the download of {hub_id} broke off ({type(error).__name__}): start again, or use "
            "--weights random for seeded weights"
        ) from error
    return directory


def _download(download: Callable[..., str], constants: Any, hub_id: str, name: str) -> str:
    return download(
        hub_id,
        name,
        cache_dir=constants.HF_HUB_CACHE,
        endpoint=os.environ.get("HF_ENDPOINT") or None,
        etag_timeout=WAIT_S,
    )


def _snapshot(hub_id: str) -> Path | None:
    from huggingface_hub import constants, try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(hub_id, "config.json", cache_dir=constants.HF_HUB_CACHE)
    except HFValidationError:
        return None
    return Path(found).parent if isinstance(found, str) else None


def _is_offline() -> bool:
    values = (os.environ.get(name, "") for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))
    return any(value.upper() in ("1", "ON", "YES", "TRUE") for value in values)


def _list_files(hub_id: str) -> dict[str, int | None]:
    """Return the sizes in bytes of a hub model's files, asked with a deadline."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

    answer: list[Any] = []

    def ask() -> None:
        try:
            api = HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None)
            answer.append(api.model_info(hub_id, timeout=WAIT_S, files_metadata=True))
        except Exception as error:  # handed to the thread that waits
            answer.append(error)

    # A thread, because the timeout of the HTTP client does not bound the resolver's. It is a
    # daemon: one that hangs must not keep the process.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(WAIT_S)
    if not answer:
        raise HubUnavailableError(f"the hub did not answer within {WAIT_S:g} s")
    if isinstance(answer[0], RepositoryNotFoundError | HFValidationError):
        raise HubUnavailableError("the hub has no such model", answered=True)
    if isinstance(answer[0], Exception):
        raise HubUnavailableError(f"the hub is not reachable ({type(answer[0]).__name__})")
    return {s.rfilename: s.size for s in answer[0].siblings or []}


def _wanted_files(sizes: dict[str, int | None]) -> tuple[str, ...]:
    return next(((name,) for name in WEIGHT_FILES if name in sizes), ())
