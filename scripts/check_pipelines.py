#!/usr/bin/env python3
"""Compare our pipelines with those of transformers, on the same weights.

    python scripts/check_pipelines.py --count 300 --minilm path/to/all-MiniLM-L6-v2

Small models with seeded weights are made for every task, exported, and asked about seeded texts,
odd ones and one of 100,000 characters among them. Sentence embeddings are compared on a real
checkpoint, if its directory is given. Prints a table task by task; fails if an answer differs in
anything but a score, or a score by more than 1e-4.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import click

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from pipeline_answers import Comparison, compare, ours, their_embeddings, theirs
from text_checkpoints import MODELS, make_checkpoint, mask_token
from text_questions import long_question, make_texts, questions

import tvm_sparse

#: Tokenizers that these tasks are compared with besides word pieces: they look at words.
_OTHERS = ("bytes", "unigrams")
_OF_WORDS = ("token-classification", "question-answering", "fill-mask")
_COLUMNS = "{:26} {:12} {:>7} {:>12} {:>11} {:>8} {:>10} {:>12}"
#: What the import of a model says on stderr is of no interest here.
_QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "USE_TORCH": "0", "RUST_BACKTRACE": "0"}


@click.command(help=__doc__)
@click.option("--count", default=300, show_default=True, help="Inputs for every task.")
@click.option("--seed", default=0, show_default=True, help="Of the inputs.")
@click.option("--seq-len", default=128, show_default=True, help="Tokens the builds take.")
@click.option("--task", "only", multiple=True, help="These tasks alone.")
@click.option("--minilm", type=click.Path(exists=True), help="Directory of all-MiniLM-L6-v2.")
def main(count: int, seed: int, seq_len: int, only: tuple[str, ...], minilm: str | None) -> None:
    """Compare."""
    os.environ.update(_QUIET)
    heads = ("inputs", "worst score", "mismatches", "refused", "ours alone", "100,000 (s)")
    print(_COLUMNS.format("task", "tokenizer", *heads))
    cases = [(task, "word-pieces") for task in MODELS]
    cases += [(task, tokenizer) for task in _OF_WORDS for tokenizer in _OTHERS]
    failed = False
    with (
        tempfile.TemporaryDirectory() as scratch,
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as elsewhere,
    ):
        for task, tokenizer in cases:
            if only and task not in only:
                continue
            folder = make_checkpoint(Path(scratch) / task / tokenizer, task, tokenizer, seq_len)
            asked = questions(task, count, mask_token(tokenizer), seed)
            asked.append(long_question(task, mask_token(tokenizer)))
            model = tvm_sparse.load(export(folder, seq_len)).text
            found = ours(model, task, asked[:-1])
            start = time.monotonic()
            found += ours(model, task, asked[-1:])
            long_s = time.monotonic() - start
            wanted = elsewhere.submit(theirs, folder, task, asked).result()
            result = compare(asked, wanted, found)
            failed |= report(task, tokenizer, len(asked), result, long_s)
        if minilm and (not only or "sentence-embedding" in only):
            folder = Path(scratch) / "minilm"
            folder.symlink_to(Path(minilm).resolve())
            texts = make_texts(count, seed)
            found = list(tvm_sparse.load(export(folder, 256)).encode(["", *texts]))
            wanted = elsewhere.submit(their_embeddings, folder, ["", *texts], 256).result()
            result = compare(["", *texts], wanted, found)
            failed |= report("sentence-embedding", "all-MiniLM", len(texts) + 1, result, None)
    sys.exit(failed)


def export(folder: Path, seq_len: int) -> Path:
    """Export a checkpoint, and return its artifact."""
    artifact = folder.with_name(f"{folder.name}-build")
    command = [sys.executable, "-m", "tvm_sparse", "export", "--model", str(folder)]
    # Answers are compared here: single values of deep hidden states may be further apart.
    checks = ["--atol", "1e-3", "--rtol", "1e-3"]
    flags = ["--prune", "none", "--build", "dense", "--seq-len", str(seq_len), "--quiet", *checks]
    cache = ["--cache-dir", str(folder.with_name("cache"))]
    subprocess.run([*command, *flags, *cache, "-o", str(artifact)], check=True, capture_output=True)
    return artifact


def report(task: str, tokenizer: str, count: int, result: Comparison, long_s: float | None) -> bool:
    """Print a row, and what differs; return whether something does."""
    print(
        _COLUMNS.format(
            *(task, tokenizer, count, f"{result.worst:.1e}", len(result.mismatches)),
            *(result.refused_by_both, result.answered_by_us),
            "" if long_s is None else f"{long_s:.1f}",
        ),
        flush=True,
    )
    for line in shortened(result.mismatches[:3]):
        print(f"    {line}")
    return bool(result.mismatches)


def shortened(mismatches: Iterable[tuple[Any, Any, Any]]) -> Iterable[str]:
    """Yield questions and both answers, cut to a few lines each."""
    for parts in mismatches:
        for name, part in zip(("asked", "theirs", "ours"), parts, strict=True):
            yield f"{name}: {part!r}"[:2000]


if __name__ == "__main__":
    main()
