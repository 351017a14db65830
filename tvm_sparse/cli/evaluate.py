"""`tvm-sparse evaluate`: how close a pruned model is to the dense one."""

from __future__ import annotations

from typing import Any

import click

from tvm_sparse.cli.options.builds import threads_option
from tvm_sparse.cli.options.output import cache_option, json_option, quiet_option
from tvm_sparse.cli.output_paths import check_output_file
from tvm_sparse.config import CompileSpec
from tvm_sparse.dependencies import check_dependencies
from tvm_sparse.errors import ConfigError
from tvm_sparse.host import threads_here


@click.command("evaluate")
@click.argument("model", metavar="DIR|NAME|HUB_ID")
@click.option(
    "--against",
    required=True,
    metavar="DENSE",
    help="The dense model: directory, preset, hub id or exported build.",
)
@click.option(
    "--text",
    "text_path",
    required=True,
    type=click.Path(),
    metavar="FILE",
    help="Plain text, one text a line; a tab separates the two texts of a pair.",
)
@click.option(
    "--labels",
    "labels_path",
    type=click.Path(),
    metavar="FILE",
    help="What is right, one label a line: a class, a number, or an answer's words.",
)
@click.option("--limit", type=int, metavar="N", help="Use N texts, spread over the file.")
@click.option(
    "--batch", type=int, metavar="N", help="Texts in one run.  [default: 1, or the build's]"
)
@click.option(
    "--seq-len",
    type=int,
    metavar="N",
    help="Tokens of every text, longer ones are cut.  [default: 128, or the build's]",
)
@click.option(
    "--tokenizer",
    type=click.Path(),
    metavar="DIR",
    help="Directory with tokenizer.json or vocab.txt; by default that of either model.",
)
@threads_option
@cache_option
@json_option("Write the record here.")
@quiet_option
def command(model: str, against: str, **flags: Any) -> None:
    """Compare a pruned model with the dense one on texts.

    Without labels: cosines of sentence embeddings, agreement of predictions, KL divergence of
    logits or equality of answer spans, whichever the model's task has. With labels also accuracy
    and F1 of both. Texts are split by the model's own tokenizer.
    """
    check_output_file("--json", flags["json_path"])
    compile_spec = CompileSpec(threads=flags["threads"])
    limit = flags["limit"]
    if limit is not None and limit < 1:
        raise ConfigError(f"limit {limit} given: it must be at least 1")
    from tvm_sparse.fidelity.evaluate import Texts, check_pair, evaluate
    from tvm_sparse.text.texts import read_labels, read_texts, take_evenly

    # Before the models: a file of the wrong kind is told at once.
    texts = read_texts(flags["text_path"])
    labels = None
    if flags["labels_path"] is not None:
        labels = take_evenly(read_labels(flags["labels_path"], len(texts)), limit)
    check_dependencies()
    from tvm_sparse.cli.progress import ProgressDisplay
    from tvm_sparse.fidelity.sides import artifact_shape, open_side

    shapes = [shape for side in (against, model) if (shape := artifact_shape(side))]
    batch, seq_len = shapes[0] if shapes else (1, 128)
    with ProgressDisplay(flags["quiet"]) as display:
        display.step("starting the compiler")
        batch = batch if flags["batch"] is None else flags["batch"]
        seq_len = seq_len if flags["seq_len"] is None else flags["seq_len"]
        cache_dir, step = flags["cache_dir"], display.step
        reference = open_side(against, batch, seq_len, compile_spec, cache_dir, None, step)
        candidate = open_side(model, batch, seq_len, compile_spec, cache_dir, reference, step)
        check_pair(candidate, reference)
        record = evaluate(
            candidate,
            reference,
            Texts(take_evenly(texts, limit), labels, flags["text_path"], flags["labels_path"]),
            threads_here(compile_spec.threads),
            flags["tokenizer"],
            display.measure,
        )
    from tvm_sparse.cli.results import print_wide
    from tvm_sparse.records.write import write_json
    from tvm_sparse.report.fidelity_table import describe_evaluation, render_evaluation

    if flags["json_path"] is not None:
        write_json(flags["json_path"], record)
    print_wide(render_evaluation(record))
    print_wide(describe_evaluation(record))
    for role, side in (("dense", record.reference), ("pruned", record.candidate)):
        print_wide(f"{role} weights: {side['weights'].get('detail', 'of unknown origin')}")
