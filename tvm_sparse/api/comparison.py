"""The library API of comparisons: this package's builds beside other engines, in one run.

>>> import tvm_sparse
>>> record = tvm_sparse.compare("bert-mini-sparse", ["onnxruntime", "openvino"])

Every engine gets the same weights, inputs and number of threads, runs in a process of its own and
takes turns with the others. What it computes is checked before anything is timed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from tvm_sparse.api.builds import compile
from tvm_sparse.api.models import load_model, sparsify
from tvm_sparse.api.quantization import quantize
from tvm_sparse.bench.environment import Environment, detect_environment
from tvm_sparse.bench.inputs import random_inputs
from tvm_sparse.bench.peers.checkpoint import write_checkpoint
from tvm_sparse.bench.peers.compare import (
    OWN_REFERENCE,
    max_error,
    prepare_engines,
    run_artifact,
    run_once,
)
from tvm_sparse.bench.peers.compare import compare as measure_contenders
from tvm_sparse.bench.peers.contender import Arrays, Contender, own_build, peer
from tvm_sparse.bench.peers.engine import ENGINES, TOLERANCE, Engine, find_engines
from tvm_sparse.bench.peers.record import EngineResult, PeersRecord
from tvm_sparse.config.bench import BenchSpec
from tvm_sparse.config.compile import CompileSpec
from tvm_sparse.config.model import ModelSpec
from tvm_sparse.config.quantization import QuantizeScheme
from tvm_sparse.config.sparsity import SparsitySpec
from tvm_sparse.errors import ArtifactError
from tvm_sparse.formats.builds import DENSE, BuildSpec, build_of, build_spec
from tvm_sparse.host import threads_here
from tvm_sparse.model.facts import WeightsFacts
from tvm_sparse.model.model import Model
from tvm_sparse.processes.temporary import temporary_directory
from tvm_sparse.progress import ShareProgress, silent, steps
from tvm_sparse.runtime.metadata import load_metadata
from tvm_sparse.sources.onnx_file import ONNX_ENDING

if TYPE_CHECKING:
    from tvm_sparse.runtime.metadata import ArtifactMetadata

# PyTorch computes what a sparse build is compared with: another engine on the same weights.
_REFERENCE_ENGINE = "torch"


def compare(
    directory: str | os.PathLike[str],
    against: Iterable[str] = tuple(ENGINES),
    *,
    model: str | None = None,
    shape: tuple[int, int] | None = None,
    threads: int | None = None,
    bench: BenchSpec | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    progress: ShareProgress = silent,
) -> PeersRecord:
    """Measure an exported artifact beside our dense build and other engines.

    The model is imported again, or taken from the cache, and pruned as the artifact's metadata
    says: the other engines get the very weights that the artifact holds.

    Parameters
    ----------
    directory : path
        Artifact directory.
    against : iterable of str
        Engines; those that are not installed are rows that say so. `int8` and `int8-fast` are our
        own builds of the same weights.
    model : str, optional
        Where the model is now; by default where it was when the artifact was made.
    shape : (int, int), optional
        Sequences and tokens, where the artifact takes any; one short text by default.
    threads : int, optional
        Every core by default.
    bench : BenchSpec, optional
        How long to measure each; throughput of `streams` is that of the builds and of ONNX Runtime.
    cache_dir : path, optional
        Cache directory.
    progress : callable
        Receives a line of text and the finished share, 0..1.

    Raises
    ------
    ConfigError
        An unknown engine, or a shape that the artifact does not take.
    ArtifactError
        The artifact is damaged, or was made from other weights than the model has.
    TvmSparseError
        From importing or compiling the model.
    """
    schemes, engines = _parted(against)
    metadata = load_metadata(Path(directory))
    ModelSpec(**metadata.spec["model"]).check_shapes([] if shape is None else [shape])
    threads, bench = threads_here(threads), bench or BenchSpec()
    compile_spec, environment = CompileSpec(threads=threads), detect_environment(threads)
    found = _model_of(metadata, str(directory), model, cache_dir, progress)
    inputs = found.reference.inputs if shape is None else random_inputs(metadata, shape=shape)
    dense = _compile(found, DENSE, compile_spec, progress)
    outputs = run_artifact(dense, inputs)
    gap = max_error(run_artifact(Path(directory), inputs), outputs)
    if gap > TOLERANCE and not build_spec(metadata.build).scheme:
        raise ArtifactError(
            f"{directory} computes something else than {found.spec.model} pruned as its metadata "
            f"says (by {gap:.3g}): say with --model which pruned model it was made from"
        )
    contenders = []
    if metadata.build != DENSE.name:
        contenders.append(own_build(dense, inputs, outputs, OWN_REFERENCE))
    contenders.append(_artifact(Path(directory), metadata, inputs, outputs, OWN_REFERENCE))
    for scheme in schemes:
        rounded = quantize(found, scheme=scheme)
        for is_sparse in dict.fromkeys((False, found.sparsity is not None)):
            build = build_of(is_sparse, scheme)
            if build.name != metadata.build:
                place = _compile(rounded, build, compile_spec, progress)
                made = load_metadata(place)
                contenders.append(_artifact(place, made, inputs, outputs, OWN_REFERENCE))
    with temporary_directory() as folder:
        checkpoint = write_checkpoint(folder, found, steps(progress))
        contenders += _peers(engines, checkpoint, inputs, outputs, OWN_REFERENCE, progress)
        results = measure_contenders(contenders, threads, bench, progress)
    return _record(found, inputs, results, bench, environment)


def compare_model(
    model: Model,
    builds: Sequence[tuple[BuildSpec, SparsitySpec | None]] = (),
    against: Iterable[str] = tuple(ENGINES),
    *,
    target: str = "native",
    threads: Sequence[int] = (1,),
    bench: BenchSpec | None = None,
    progress: ShareProgress = silent,
) -> PeersRecord:
    """Measure builds of a model beside its dense one and other engines.

    Parameters
    ----------
    model : Model
        As loaded.
    builds : sequence of (BuildSpec, SparsitySpec or None)
        Beside the dense build of float32; a sparse one is pruned from the model's own weights.
    against : iterable of str
        Engines, which run the model's own weights.
    target : str
        As `CompileSpec` has it, of our builds: other engines take what they find.
    threads : sequence of int
        Numbers of threads; everything is measured at each.
    bench : BenchSpec, optional
        How long to measure each.
    progress : callable
        Receives a line of text and the finished share, 0..1.

    Raises
    ------
    TvmSparseError
        See `compare`.
    """
    engines = find_engines(against)
    compile_spec, bench = CompileSpec(target, threads=max(threads)), bench or BenchSpec()
    environment, wanted = detect_environment(max(threads)), model.reference
    with temporary_directory() as folder:
        dense = _compile(model, DENSE, compile_spec, progress)
        contenders = [own_build(dense, wanted.inputs, wanted.outputs, wanted.framework)]
        for build, sparsity in builds:
            contender = _own_build(model, build, sparsity, compile_spec, progress)
            # The same build again when the zeros are the model's own.
            if contender.result.label not in {other.result.label for other in contenders}:
                contenders.append(contender)
        checkpoint = write_checkpoint(folder / "dense", model, steps(progress))
        contenders += _peers(
            engines, checkpoint, wanted.inputs, wanted.outputs, wanted.framework, progress
        )
        results = [
            result
            for count in threads
            for result in measure_contenders(contenders, count, bench, progress)
        ]
    return _record(model, wanted.inputs, results, bench, environment, target)


def _parted(against: Iterable[str]) -> tuple[list[QuantizeScheme], list[Engine]]:
    """Return the schemes of our own builds among some names, and the other engines."""
    names = list(against)
    schemes: list[QuantizeScheme] = [name for name in get_args(QuantizeScheme) if name in names]
    return schemes, find_engines(name for name in names if name not in schemes)


def _model_of(
    metadata: ArtifactMetadata,
    directory: str,
    name: str | None,
    cache_dir: str | os.PathLike[str] | None,
    progress: ShareProgress,
) -> Model:
    """Return the model an artifact was made from, with the artifact's weights."""
    spec = ModelSpec(**metadata.spec["model"])
    source = metadata.weights.source
    if name is not None:
        spec = spec.with_(model=name)
    # A file is a model of its own, whatever directory it lies in.
    elif metadata.weights.trained and os.path.isdir(source) and not os.path.isfile(spec.model):
        spec = spec.with_(model=source)
    model = load_model(spec, cache_dir=cache_dir, progress=lambda line: progress(line, 0.0))
    if model.facts.weights.fingerprint != metadata.weights.fingerprint:
        raise ArtifactError(
            f"{directory} was made from other weights than {spec.model} has now "
            f"({metadata.weights}): say with --model where "
            "the model is, or export it again"
        )
    sparsity = metadata.spec.get("sparsity")
    if sparsity is None:
        return model
    progress("making the weights sparse", 0.0)
    fields = {**sparsity, **{key: tuple(sparsity[key]) for key in ("block_shape", "include")}}
    return sparsify(model, SparsitySpec(**{**fields, "exclude": tuple(sparsity["exclude"])}))


def _artifact(
    directory: Path, metadata: ArtifactMetadata, inputs: Arrays, outputs: Arrays, reference: str
) -> Contender:
    spec = build_spec(metadata.build)
    if not spec.is_sparse:
        return own_build(directory, inputs, outputs, reference, scheme=spec.scheme)
    shape, sparsity = tuple(metadata.spec["sparsity"]["block_shape"]), metadata.block_sparsity
    return own_build(directory, inputs, outputs, reference, sparsity, shape, spec.scheme)


def _own_build(
    model: Model,
    build: BuildSpec,
    sparsity: SparsitySpec | None,
    compile_spec: CompileSpec,
    progress: ShareProgress,
) -> Contender:
    """Prune, round, compile and return a build with what it has to compute."""
    wanted = model.reference
    outputs, reference = wanted.outputs, wanted.framework
    if build.is_sparse:
        model = sparsify(model, sparsity or SparsitySpec())
        outputs, reference = _pruned_reference(model, compile_spec, progress)
    if build.scheme:
        scheme: QuantizeScheme = "int8-fast" if build.scheme == "int8-fast" else "int8"
        model = quantize(model, scheme=scheme, target=compile_spec.target)
    directory = _compile(model, build, compile_spec, progress)
    return _artifact(directory, load_metadata(directory), wanted.inputs, outputs, reference)


def _pruned_reference(
    pruned: Model, compile_spec: CompileSpec, progress: ShareProgress
) -> tuple[Arrays, str]:
    """Return what a pruned model has to compute, and who said so."""
    engine, inputs = ENGINES[_REFERENCE_ENGINE], pruned.reference.inputs
    if engine.missing() or pruned.spec.model.endswith(ONNX_ENDING):
        why = "is not installed" if engine.missing() else "reads no ONNX file"
        progress(f"{engine.label} {why}: comparing with the dense build instead", 0.0)
        return run_artifact(_compile(pruned, DENSE, compile_spec, progress), inputs), OWN_REFERENCE
    with temporary_directory() as place:
        found = run_once(engine, write_checkpoint(place, pruned), inputs)
    return {name: found[name] for name in pruned.reference.outputs}, engine.label


def _peers(
    engines: Iterable[Engine],
    checkpoint: Path,
    inputs: Arrays,
    outputs: Arrays,
    reference: str,
    progress: ShareProgress,
) -> list[Contender]:
    engines = list(engines)
    failure = prepare_engines(engines, checkpoint, progress)
    if failure:
        progress(f"preparing the other engines failed: {failure}", 0.0)
    return [peer(engine, checkpoint, inputs, outputs, reference) for engine in engines]


def _compile(model: Model, build: BuildSpec, spec: CompileSpec, progress: ShareProgress) -> Path:
    def say(line: str) -> None:
        progress(line, 0.0)

    return compile(model, spec, builds=(build.name,), progress=say).directories[build.name]


def _record(
    model: Model,
    inputs: Arrays,
    results: Sequence[EngineResult],
    bench: BenchSpec,
    environment: Environment,
    target: str = "native",
) -> PeersRecord:
    spec = asdict(model.spec)
    if model.spec.is_open:  # what was measured, not what is possible
        batch, seq_len, *_ = inputs[model.facts.inputs[0].name].shape
        spec.update(batch=batch, seq_len=seq_len)
    threads = list(dict.fromkeys(result.threads for result in results))
    return PeersRecord(
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        subject=model.facts.name,
        spec={
            "model": {**spec, **_image(model)},
            "bench": asdict(bench),
            "threads": threads,
            "target": target,
        },
        weights=model.facts.weights,
        results=tuple(results),
        environment=environment,
    )


def _image(model: Model) -> dict[str, Any]:
    """Return the size of the images that a model takes, nothing of one that takes texts."""
    config = model.facts.config
    is_image = len(model.facts.inputs[0].shape) == 4 and "image_size" in config
    return {"image_size": config["image_size"]} if is_image else {}


def renamed(record: PeersRecord, label: str) -> PeersRecord:
    """Return a record that calls its model by another name and says no directory of it."""
    return replace(
        record,
        subject=label,
        spec={**record.spec, "model": {**record.spec["model"], "model": label}},
        weights=replace(record.weights, source="", detail=WeightsFacts.detail),
    )
