"""What a process that trains does with a request, whichever framework lives there.

The request is {source, masked, spec, directory, state_dir, threads, key}. `directory` holds the
pruned weights and the tokens; the trained weights take their place. The result is the facts of
`Distilled`, events are lines of progress.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from safetensors.numpy import load_file, save_file

from tvm_sparse.progress import Progress
from tvm_sparse.sources.source import ModelSource
from tvm_sparse.training.loop import train
from tvm_sparse.training.state import PARAMS_FILE, TOKENS_FILE
from tvm_sparse.training.training import Training

#: Builds both models: takes the source of the dense one, the pruned weights by name, those of them
#: whose zeros stay, the fields of `DistillSpec`, and what receives lines of progress.
Begin: TypeAlias = Callable[
    [ModelSource, Mapping[str, np.ndarray], Collection[str], Mapping[str, Any], Progress], Training
]


def train_request(request: Mapping[str, Any], begin: Begin, progress: Progress) -> dict[str, Any]:
    """Train as a request of `distill` asks for, and return the facts."""
    source, spec = ModelSource(**request["source"]), request["spec"]
    file = Path(request["directory"]) / PARAMS_FILE
    params = load_file(file)
    with np.load(file.with_name(TOKENS_FILE), allow_pickle=False) as arrays:
        tokens = {name: arrays[name] for name in arrays.files}
    progress(f"building the dense and the pruned model of {source.name}")
    training = begin(source, params, request["masked"], spec, progress)
    facts = train(training, tokens, spec, Path(request["state_dir"]), request["key"], progress)
    trained = training.params()
    save_file({name: np.ascontiguousarray(trained[name]) for name in params}, file)
    return asdict(facts)
