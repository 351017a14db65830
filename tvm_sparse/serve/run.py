"""Serve models over HTTP and gRPC: what comes before the packages for it are imported."""

from __future__ import annotations

from collections.abc import Callable

from tvm_sparse.dependencies import SERVING, check_dependencies
from tvm_sparse.serve.check import check_config
from tvm_sparse.serve.config import ServeConfig
from tvm_sparse.text.task_tokenizer import without_threads


def serve(config: ServeConfig, say: Callable[[str], None], path: str | None = None) -> None:
    """Serve models until SIGTERM or SIGINT; requests under way are answered before the end.

    Parameters
    ----------
    config : ServeConfig
        What to serve.
    say : callable
        Receives lines about what happens.
    path : str or None
        The file that says what to serve, if there is one.

    Raises
    ------
    DependencyError
        The extra `serve` is not installed.
    ConfigError
        The address cannot be listened at, or something in the configuration cannot be used.
    ArtifactError, InputError
        A model cannot be served.
    """
    check_dependencies(SERVING)
    check_config(config)
    without_threads()
    from tvm_sparse.serve.auto_streams import with_measured_streams

    config = with_measured_streams(config, say)
    # One process answers by itself; it takes another one to keep several.
    if config.workers == 1:
        from tvm_sparse.serve.one_process import run
    else:
        from tvm_sparse.serve.supervisor import run

    run(config, say, path)
