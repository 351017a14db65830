"""Load a model into memory, through the cache: the one way for all who need one."""

from __future__ import annotations

import numpy as np

from tvm_sparse.cache.store import Cache, CacheEntry
from tvm_sparse.config.model import ModelSpec
from tvm_sparse.dependencies import RUNTIME, WEIGHTS, check_dependencies
from tvm_sparse.errors import CacheError
from tvm_sparse.host import available_cores
from tvm_sparse.importers.import_model import import_model
from tvm_sparse.importers.registry import find_importer
from tvm_sparse.importers.worker import MODULE_FILE, PARAMS_FILE, REFERENCE_FILE
from tvm_sparse.model.facts import ModelFacts
from tvm_sparse.model.model import Model, Reference, Run
from tvm_sparse.progress import Progress, silent
from tvm_sparse.sources.source import ModelSource, resolve_source


def load_model(
    spec: ModelSpec,
    cache: Cache,
    progress: Progress = silent,
    source: ModelSource | None = None,
) -> Model:
    """Import a model, or take it from the cache, and load it.

    Parameters
    ----------
    spec : ModelSpec
        What is asked for; a micro-batch that it leaves open is one for this machine's cores.
    cache : Cache
        Receives the import, and later the builds.
    progress : callable
        Receives one line a step.
    source : ModelSource, optional
        As `resolve_source` returned it for this spec.

    Raises
    ------
    ConfigError, FrontendError, CacheError, BuildError
        See `errors`.
    """
    spec = spec.for_cores(available_cores())
    entry = import_model(spec, source or resolve_source(spec, progress), cache, progress)
    return _load_entry(entry, cache, progress)


def load_cached_model(key: str, cache: Cache, progress: Progress = silent) -> Model:
    """Load an imported model by its key in the cache; nothing is imported anew.

    Parameters
    ----------
    key : str
        Key of an entry of kind `ir`, or the beginning of one.
    cache : Cache
        Where it is.
    progress : callable
        Receives one line a step.

    Raises
    ------
    CacheError
        If no entry begins like that, or more than one does, or it is damaged.
    DependencyError
        If what reads it is not installed.
    """
    check_dependencies(RUNTIME + WEIGHTS)
    found = cache.info(f"ir/{key.removeprefix('ir/')}")
    entry = cache.get("ir", found.key)
    if entry is None:
        raise CacheError(f"cache entry ir/{found.key} is damaged: import the model again")
    return _load_entry(entry, cache, progress)


def _load_entry(entry: CacheEntry, cache: Cache, progress: Progress) -> Model:
    facts = ModelFacts.from_manifest(entry.manifest)
    progress(f"loading {facts.name} from the cache")
    import tvm
    from safetensors.numpy import load_file

    from tvm_sparse.ir.dense_layers import dense_layers
    from tvm_sparse.ir.dims import with_own_dims
    from tvm_sparse.ir.flops import product_flops
    from tvm_sparse.ir.functions import main_function, with_main

    with np.load(entry.file(REFERENCE_FILE), allow_pickle=False) as arrays:
        values = {name: arrays[name] for name in arrays.files}
    mod = tvm.ir.load_json(entry.file(MODULE_FILE).read_text(encoding="utf-8"))
    mod = with_main(mod, with_own_dims(main_function(mod)))
    params = load_file(entry.file(PARAMS_FILE))
    return Model(
        facts=facts,
        mod=mod,
        params=params,
        layers=dense_layers(mod, params.keys()),
        flops=product_flops(mod),
        reference=Reference(
            params,
            inputs=_select(values, "inputs/"),
            outputs=_select(values, "outputs/"),
            layer_outputs=_select(values, "layers/"),
            others=_other_runs(values),
            framework=find_importer(facts.spec.importer).framework,
        ),
        cache=cache,
    )


def _other_runs(values: dict[str, np.ndarray]) -> tuple[Run, ...]:
    count = len({prefix for name in values if (prefix := name.partition("/")[0]).isdigit()})
    return tuple(
        (_select(values, f"{number}/inputs/"), _select(values, f"{number}/outputs/"))
        for number in range(count)
    )


def _select(values: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {n.removeprefix(prefix): v for n, v in values.items() if n.startswith(prefix)}
