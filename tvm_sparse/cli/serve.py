"""`tvm-sparse serve`: answer requests over HTTP and gRPC."""

from __future__ import annotations

from pathlib import Path

import click

from tvm_sparse.cli.options.declare import optional


@click.command("serve")
@click.argument("what", type=click.Path(), metavar="CONFIG|DIR")
@click.option(
    "--task", metavar="TASK", help="What the build in DIR is asked; what it is for by default."
)
@optional("--host", str, "ADDRESS", "Address to listen at.  [default: 127.0.0.1]")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="N",
    help="Port; 0 for a free one.  [default: 5543]",
)
@click.option(
    "--grpc-port",
    type=click.IntRange(0, 65535),
    metavar="N",
    help="Listen for gRPC too, at this port; Triton's is 8001.  [default: no gRPC]",
)
@click.option("--check", is_flag=True, help="Check the configuration and the models, and stop.")
def command(
    what: str,
    task: str | None,
    host: str | None,
    port: int | None,
    grpc_port: int | None,
    check: bool,
) -> None:
    """Answer requests over HTTP and gRPC with exported builds.

    CONFIG is a YAML file that names the models; DIR is one build, served under its name. The
    protocol is the Open Inference Protocol, which Triton's and KServe's clients speak; texts are
    tokenised in the server. Ctrl-C or SIGTERM ends it when what is under way has been answered.

    \b
      tvm-sparse serve models.yaml --check
      tvm-sparse serve squad --task question-answering
    """  # noqa: D301 - the \b is what tells click to keep the lines that follow it
    from tvm_sparse.errors import ConfigError
    from tvm_sparse.serve.check import check_config
    from tvm_sparse.serve.config_file import read_config, single, with_address
    from tvm_sparse.serve.run import serve

    notes: list[str] = []
    if Path(what).is_dir():
        config = single(what, task)
    elif task is not None:
        raise ConfigError("--task and a file given: the file says what each model is asked")
    else:
        config, notes = read_config(what)
    config = with_address(config, host, port, grpc_port)
    for note in notes:
        click.echo(f"note: {note}", err=True)
    if check:
        for line in check_config(config):
            click.echo(line)
        return
    serve(config, lambda line: click.echo(line, err=True), None if Path(what).is_dir() else what)
