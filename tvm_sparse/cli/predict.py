"""`tvm-sparse predict`: answers about texts from an exported build."""

from __future__ import annotations

import warnings
from typing import Any

import click

from tvm_sparse.cli.options.builds import threads_option
from tvm_sparse.cli.options.choice import Choice


@click.command("predict")
@click.argument("directory", type=click.Path(), metavar="DIR")
@click.argument("texts", nargs=-1, metavar="[TEXT]...")
@click.option(
    "--task",
    metavar="TASK",
    help="What to ask, by its name in transformers; what the model is for by default.",
)
@click.option(
    "--texts",
    "file",
    type=click.Path(),
    metavar="FILE",
    help="Texts from a file, one a line; - is standard input. A tab separates the two texts of a "
    "pair.",
)
@click.option("--top-k", type=int, metavar="N", help="How many answers to give.")
@click.option("--question", multiple=True, metavar="TEXT", help="A question about --context.")
@click.option(
    "--context",
    type=click.Path(),
    metavar="FILE",
    help="The text, of any length, that answers questions; - is standard input.",
)
@click.option("--no-answer", is_flag=True, help="A question may have no answer.")
@click.option("--labels", metavar="LIST", help="Classes for zero-shot-classification: a,b,c.")
@click.option(
    "--template",
    metavar="TEXT",
    help="What a text of a class entails, {} for the class.  [default: This example is {}.]",
)
@click.option("--multi-label", is_flag=True, help="Several of --labels may be right.")
@click.option("--query", metavar="TEXT", help="What text-ranking ranks the texts by.")
@click.option(
    "--aggregation",
    type=Choice(("none", "simple", "first", "max", "average")),
    help="How tokens become entities.  [default: none]",
)
@threads_option
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for every text.")
def command(directory: str, texts: tuple[str, ...], **flags: Any) -> None:
    """Ask the exported build in DIR about texts.

    TEXT is what to ask about, - for lines on standard input. What is longer than the build is made
    for is cut, and a line on stderr says so. Neither TensorFlow nor TVM's compiler is imported.

    \b
      tvm-sparse predict sentiment "What a film." "I left early."
      tvm-sparse predict squad --question "Who wrote it?" --context page.txt
      tvm-sparse predict minilm --texts titles.txt --json
    """  # noqa: D301 - the \b is what tells click to keep the lines that follow it
    from tvm_sparse.cli.answers import print_answers
    from tvm_sparse.cli.questions import read_questions
    from tvm_sparse.runtime.artifact import check_packages, load
    from tvm_sparse.runtime.metadata import load_metadata
    from tvm_sparse.text.pipelines import TEXT_TASKS, choose_task

    metadata = load_metadata(directory)
    check_packages(metadata)
    task = choose_task(metadata.model, flags["task"])
    questions = read_questions(task, texts, flags)
    model = load(directory, flags["threads"])
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        pipeline = TEXT_TASKS[task].make(model.text)
        answers = pipeline(*questions.arguments, **questions.options)
    for note in notes:
        click.echo(f"note: {note.message}", err=True)
    print_answers(questions, [answers] if task == "text-ranking" else answers, flags["as_json"])
