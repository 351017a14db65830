"""Evaluations: how close a pruned model is to the dense one."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tvm_sparse.config.compile import CompileSpec
from tvm_sparse.config.model import ModelSpec
from tvm_sparse.config.quantization import QuantizationSpec
from tvm_sparse.errors import ConfigError
from tvm_sparse.host import threads_here
from tvm_sparse.progress import ShareProgress, silent, steps

if TYPE_CHECKING:
    from tvm_sparse.fidelity.evaluate import Texts
    from tvm_sparse.fidelity.record import EvaluationRecord
    from tvm_sparse.fidelity.sides import Side

#: (batch, seq_len) where neither model is an exported build, which has its own.
_SHAPE = (1, 128)


def evaluate(
    model: str,
    against: str,
    texts: Texts | str,
    *,
    tokenizer: str | None = None,
    quantization: QuantizationSpec | None = None,
    threads: int | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    progress: ShareProgress = silent,
    **fields: Any,
) -> EvaluationRecord:
    """Compare a pruned model with the dense one on texts.

    Parameters
    ----------
    model, against : str
        The pruned model and the dense one: directory, preset, hub id or exported build.
    texts : Texts or str
        What they are compared on; or a file with one text a line.
    tokenizer : str, optional
        Directory of the tokenizer; by default that of either model.
    quantization : QuantizationSpec, optional
        How `model` is rounded to 8 bits first; an exported build is what it is.
    threads : int, optional
        Threads to run on; every core by default.
    cache_dir : path, optional
        Cache directory; by default $TVM_SPARSE_CACHE, then `cache`.
    progress : callable
        Receives a line of text and the finished share, 0..1.
    **fields
        Of `ModelSpec`: batch and seq_len, by default those of an exported build of one shape, or 1
        and 128; importer, of what is no exported build.

    Raises
    ------
    ConfigError
        The models are for different tasks or shapes, or for a task that texts do not judge; or
        an exported build would be rounded.
    InputError
        There is no tokenizer, or texts and models do not fit.
    TvmSparseError
        From importing, compiling or loading them.
    """
    from tvm_sparse.fidelity.evaluate import Texts, check_pair, find_tokenizer
    from tvm_sparse.fidelity.evaluate import evaluate as compare
    from tvm_sparse.fidelity.sides import artifact_shape, is_artifact, open_side
    from tvm_sparse.sources.source import resolve_source
    from tvm_sparse.text.tokens import load_tokenizer

    if quantization is not None and is_artifact(model):
        raise ConfigError(f"--quantize and {model} given: it is a build, give its model instead")
    texts = Texts.read(texts) if isinstance(texts, str) else texts
    own = [found for side in (against, model) if (found := artifact_shape(side))]
    fields = {**dict(zip(("batch", "seq_len"), own[0] if own else _SHAPE, strict=True)), **fields}
    spec, say = CompileSpec(threads=threads), steps(progress)
    sources = {
        side: resolve_source(ModelSpec(side, **fields), say)
        for side in (against, model)
        if not is_artifact(side)
    }
    if tokenizer is not None:
        load_tokenizer(tokenizer)
    elif {against, model} == set(sources):
        load_tokenizer(find_tokenizer(source.directory for source in sources.values()))
    reference = open_side(against, spec, cache_dir, None, say, sources.get(against), **fields)
    candidate = open_side(model, spec, cache_dir, reference, say, sources.get(model), **fields)
    if quantization is not None:
        candidate = _rounded(candidate, quantization, spec, progress)
    check_pair(candidate, reference)
    return compare(candidate, reference, texts, threads_here(threads), tokenizer, progress)


def _rounded(
    side: Side, quantization: QuantizationSpec, spec: CompileSpec, progress: ShareProgress
) -> Side:
    """Return a side that runs its model in 8 bits, with all its zeros in dense kernels."""
    from tvm_sparse.api.builds import compile
    from tvm_sparse.api.quantization import quantize
    from tvm_sparse.formats.builds import build_of
    from tvm_sparse.runtime.artifact import load

    assert side.model is not None  # it is no exported build
    model = quantize(side.model, quantization, threads=spec.threads, progress=progress)
    build = build_of(False, quantization.scheme).name
    builds = compile(model, spec, builds=(build,), progress=steps(progress))
    loaded = load(builds.directories[build], spec.threads)
    rounded = side.with_forward(lambda inputs: loaded.run(**inputs))
    return replace(rounded, name=f"{side.name} ({build})")
