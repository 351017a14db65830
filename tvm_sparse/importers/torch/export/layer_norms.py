"""What every layer norm of a PyTorch model computes: the marks by which a fault is located."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

#: More than this is not kept: a mismatch is then reported without its layer.
_MOST_BYTES = 64 * 1024 * 1024


@contextmanager
def recorded_layer_norms(model: Any) -> Iterator[dict[str, np.ndarray]]:
    """Record the results of a model's layer norms while it runs.

    Parameters
    ----------
    model : torch.nn.Module
        As before when the block ends.

    Yields
    ------
    dict of str to ndarray
        By the module's name, `#2` and so on behind it from the second call of a shared one on.
    """
    import torch

    recorded: dict[str, np.ndarray] = {}
    calls: Counter[str] = Counter()
    size = 0

    def recording(name: str) -> Any:
        def hook(module: Any, inputs: Any, result: Any) -> None:
            nonlocal size
            calls[name] += 1
            size += result.nbytes
            if size <= _MOST_BYTES:
                key = name if calls[name] == 1 else f"{name}#{calls[name]}"
                recorded[key] = result.detach().numpy().copy()

        return hook

    norms = [(n, m) for n, m in model.named_modules() if isinstance(m, torch.nn.LayerNorm)]
    handles = [
        norm.register_forward_hook(recording(name))
        for name, norm in norms
        if norm.weight is not None
    ]
    try:
        yield recorded
    finally:
        for handle in handles:
            handle.remove()
