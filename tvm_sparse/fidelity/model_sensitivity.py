"""The sensitivity of a whole model's layers, from its import and a text file."""

from __future__ import annotations

from collections.abc import Iterable

from tvm_sparse.config.compile import CompileSpec
from tvm_sparse.errors import ConfigError
from tvm_sparse.fidelity.forward import compile_dense
from tvm_sparse.fidelity.sensitivity import Probe, measure_sensitivity
from tvm_sparse.fidelity.sensitivity_record import Sensitivity
from tvm_sparse.model.model import Model
from tvm_sparse.progress import ShareProgress, silent
from tvm_sparse.sparsity.decision import eligible_layers
from tvm_sparse.tasks.registry import on_texts
from tvm_sparse.text.texts import read_texts, take_evenly
from tvm_sparse.text.tokens import load_tokenizer

#: Texts that each layer is judged on, where there are more.
DEFAULT_TEXTS = 32
#: Block sparsities that a table has room for.
SPARSITIES = (0.5, 0.8, 0.95)


def sensitivity(
    model: Model,
    text: str,
    block_shape: tuple[int, int],
    *,
    include: Iterable[str] = (),
    exclude: Iterable[str] = (),
    limit: int = DEFAULT_TEXTS,
    threads: int | None = None,
    progress: ShareProgress = silent,
) -> Sensitivity:
    """Prune each eligible layer alone, by magnitude, and measure the fidelity lost.

    Parameters
    ----------
    model : Model
        Not changed.
    text : str
        File with one text a line.
    block_shape : (int, int)
        (bs_r, bs_c).
    include, exclude : iterable of str
        Shell patterns of layers.
    limit : int
        Use at most so many texts, spread over the file.
    threads : int, optional
        Threads to run on; every core by default.
    progress : callable
        Receives a line and the finished share, 0..1.

    Raises
    ------
    ConfigError
        The weights are seeded, or the task cannot be judged on texts.
    InputError
        The text or the tokenizer cannot be used.
    SparsityError
        The blocks divide none of the layers, or a pattern matches none.
    BuildError, PassError
        From the compiler.
    """
    facts = model.facts
    on_texts(facts.task)
    if not facts.weights.trained:
        raise ConfigError(
            f"--sensitivity given, but the weights of {facts.name} are made up "
            f"({facts.weights}): only trained weights tell which layers matter"
        )
    refusals = eligible_layers(model.layers, block_shape, include, exclude)
    chosen = [layer for layer in model.layers if not refusals[layer.name]]
    texts = take_evenly(read_texts(text), limit)
    tokens = load_tokenizer(facts.weights.source).encode(
        texts, facts.spec.seq_len, facts.config.get("vocab_size")
    )
    code = compile_dense(model, CompileSpec(threads=threads))
    return measure_sensitivity(
        *(model, code, chosen, tokens, Probe(block_shape)), sparsities=SPARSITIES, progress=progress
    )
