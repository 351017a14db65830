"""`tvm-sparse evaluate`: how close a pruned model is to the dense one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tvm_sparse.cli.options.builds import threads_option
from tvm_sparse.cli.options.model import complete_model, importer_option
from tvm_sparse.cli.options.output import cache_option, json_option, quiet_option
from tvm_sparse.cli.options.quantize import quantize_options
from tvm_sparse.cli.output_paths import check_output_file
from tvm_sparse.config.model import ModelSpec
from tvm_sparse.host import threads_here

if TYPE_CHECKING:
    from tvm_sparse.fidelity.record import EvaluationRecord


@click.command("evaluate")
@click.argument("model", metavar="DIR|NAME|HUB_ID", shell_complete=complete_model)
@click.option(
    "--against",
    required=True,
    metavar="DENSE",
    shell_complete=complete_model,
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
@importer_option
@threads_option
@quantize_options
@cache_option
@json_option("Write the record here.")
@quiet_option
def command(model: str, against: str, **flags: Any) -> None:
    """Compare a pruned model with the dense one on texts.

    Without labels: cosines of sentence embeddings, agreement of predictions, KL divergence of
    logits or equality of answer spans, whichever the model's task has. With labels also accuracy
    and F1 of both. Texts are split by the model's own tokenizer. --quantize rounds DIR to 8 bits
    first: given as --against too, it tells what that costs alone.
    """
    check_output_file("--json", flags["json_path"])
    threads = threads_here(flags["threads"])
    from tvm_sparse.fidelity.evaluate import Texts

    # Before the models: a file of the wrong kind is told at once.
    texts = Texts.read(flags["text_path"], flags["labels_path"], flags["limit"])
    from tvm_sparse.importers.import_model import check_packages

    for side in (model, against):
        check_packages(ModelSpec(side, importer=flags["importer"]))
    from tvm_sparse.cli.progress import ProgressDisplay

    with ProgressDisplay(flags["quiet"]) as display:
        display.step("starting the compiler")
        from tvm_sparse.api.evaluation import evaluate

        record = evaluate(
            model,
            against,
            texts,
            tokenizer=flags["tokenizer"],
            quantization=flags["quantization_spec"],
            threads=threads,
            cache_dir=flags["cache_dir"],
            progress=display.measure,
            importer=flags["importer"],
            **{n: flags[n] for n in ("batch", "seq_len") if flags[n] is not None},
        )
    from tvm_sparse.cli.results import deliver
    from tvm_sparse.records.write import write_json

    deliver(
        lambda: _print_record(record),
        (flags["json_path"], lambda path: write_json(path, record)),
    )


def _print_record(record: EvaluationRecord) -> None:
    from tvm_sparse.cli.results import print_wide
    from tvm_sparse.report.fidelity_table import describe_evaluation, render_evaluation

    print_wide(render_evaluation(record))
    print_wide(describe_evaluation(record))
    for role, side in (("dense", record.reference), ("pruned", record.candidate)):
        print_wide(f"{role} weights: {side.weights}")
