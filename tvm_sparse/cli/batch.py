"""`tvm-sparse batch`: answers about files of texts, on many cores and machines."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import click

from tvm_sparse.cli.options.choice import Choice
from tvm_sparse.cli.options.declare import add, optional
from tvm_sparse.cli.options.output import json_option, quiet_option
from tvm_sparse.words import counted

_AT_LEAST_1 = click.IntRange(min=1)
#: What the task's pipelines call their flags.
_OPTIONS = {
    "labels": "candidate_labels",
    "template": "hypothesis_template",
    "multi_label": "multi_label",
    "top_k": "top_k",
    "query": "query",
    "aggregation": "aggregation_strategy",
    "no_answer": "handle_impossible_answer",
}


def _question_options(command: Any) -> Any:
    """Add what a task is asked with."""
    return add(
        command,
        optional("--labels", str, "LIST", "Classes for zero-shot-classification: a,b,c."),
        optional("--template", str, "TEXT", "What a text of a class entails, {} for the class."),
        click.option("--multi-label", is_flag=True, help="Several of --labels may be right."),
        optional("--top-k", int, "N", "How many answers to give."),
        optional("--query", str, "TEXT", "What text-ranking scores the texts by."),
        click.option(
            "--aggregation",
            type=Choice(("none", "simple", "first", "max", "average")),
            help="How tokens become entities.",
        ),
        click.option("--no-answer", is_flag=True, help="A question may have no answer."),
    )


@click.command("batch")
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option("-o", "--output", required=True, metavar="DIR", help="Directory of the answers.")
@click.option(
    "--model", "artifact", required=True, type=click.Path(), metavar="DIR", help="Exported build."
)
@optional("--task", str, "TASK", "What to ask; what the model is for by default.")
@click.option(
    "--column", default="text", show_default=True, metavar="NAME", help="Where the texts are."
)
@optional("--pair-column", str, "NAME", "Where the second texts are: contexts of questions.")
@_question_options
@click.option(
    "--format",
    type=Choice(("jsonl", "parquet")),
    default="jsonl",
    show_default=True,
    help="Of the rows that are written.",
)
@click.option("--keep-order", is_flag=True, help="One file of rows, in the order of the input.")
@click.option(
    "--no-truncate",
    is_flag=True,
    help="Texts longer than the build takes are errors, instead of cut.",
)
@click.option("--resume", is_flag=True, help="Go on with a job that was ended.")
@optional("--address", str, "ADDRESS", "Ray cluster, such as ray://head:10001; this machine alone.")
@click.option("--no-ray", is_flag=True, help="In this process: for small inputs.")
@click.option(
    "--actors", type=_AT_LEAST_1, metavar="N", help="Actors; as many as the cores allow by default."
)
@click.option(
    "--threads-per-actor",
    type=_AT_LEAST_1,
    metavar="N",
    help="Cores of each actor.  [default: 1]",
)
@click.option(
    "--parts",
    type=_AT_LEAST_1,
    metavar="N",
    help="Into how many parts to cut the input, about.  [default: 32 for each actor]",
)
@click.option(
    "--price-per-core-hour",
    type=click.FloatRange(min=0),
    metavar="X",
    help="Say what a million rows cost.",
)
@quiet_option
@json_option("Write what was done, and how fast, to a file.")
def command(**flags: Any) -> None:
    """Ask an exported build about all rows of files.

    INPUT is a file of texts (.txt, one a line), .jsonl, .csv or .parquet, a directory of these, or
    a pattern in quotes; on this machine, or an address such as s3://bucket/folder. The rows come
    back with their columns and `prediction`; rows that have none are in errors.jsonl, with the
    reason. Ctrl-C ends it; --resume goes on.

    \b
      tvm-sparse batch articles.jsonl -o labels --model nli --task zero-shot-classification \\
        --labels motorcycle,baseball
      tvm-sparse batch 'texts/*.parquet' -o vectors --model minilm --format parquet
    """  # noqa: D301 - the \b is what tells click to keep the lines that follow it
    from tvm_sparse.batch.run import Advance, run_batch
    from tvm_sparse.batch.spec import BatchSpec
    from tvm_sparse.cli.output_paths import check_output_file
    from tvm_sparse.cli.progress import ProgressDisplay
    from tvm_sparse.errors import ConfigError
    from tvm_sparse.records.write import write_json

    json_path, quiet = flags.pop("json_path"), flags.pop("quiet")
    check_output_file("--json", json_path)
    options = {name: flags.pop(flag) for flag, name in _OPTIONS.items()}
    use_ray, address = not flags.pop("no_ray"), flags["address"]
    if not use_ray and (address or flags["actors"]):
        raise ConfigError("--no-ray and --address or --actors given: give one of the two")
    spec = BatchSpec(
        options=_given(options), use_ray=use_ray, truncate=not flags.pop("no_truncate"), **flags
    )
    with ProgressDisplay(quiet) as display:

        def tell(now: Advance) -> None:
            text = f"answering {now.total:,} rows"
            display.update(text, f"{text}: {_advance(now)}")

        record = run_batch(spec, display.step, tell)
    if json_path:
        write_json(json_path, record)
    for line in _summary(record, spec.output):
        click.echo(line)


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that were given; 0 is something that is given, and equal to False."""
    return {
        name: value for name, value in options.items() if value is not None and value is not False
    }


def _advance(now: Any) -> str:
    """Return how far a job is."""
    left = timedelta(seconds=round(now.left_s))
    errors = f", {counted(now.errors, 'error')}" if now.errors else ""
    return (
        f"{now.rows:,}{errors}, {now.rows_per_s:,.0f} rows/s, {now.tokens_per_s:,.0f} tokens/s, "
        f"{left} left"
    )


def _summary(record: Any, output: str) -> list[str]:
    """Return what people want to know of a job."""
    start = record.start_up
    started_s = start.ray_s + start.check_s + start.input_s + start.actors_s
    lines = [
        f"{record.rows_in:,} rows in = {record.rows_out:,} rows out + {record.errors:,} errors, "
        f"in {output}",
    ]
    if record.resumed_rows:
        lines.append(f"{record.resumed_rows:,} of them were done before")
    if record.work_s:
        lines.append(
            f"{started_s:.1f} s until work began, {record.work_s:.1f} s of work: "
            f"{record.rows_per_s:,.1f} rows/s, {record.tokens_per_s:,.0f} tokens/s"
        )
    if record.cuts:
        lines.append(f"{record.cuts:,} inputs were longer than the build takes, and cut")
    if record.cost:
        lines.append(
            f"{record.cost.per_million_rows:.4g} for a million rows at "
            f"{record.cost.price_per_core_hour:g} per core-hour"
        )
    return lines
