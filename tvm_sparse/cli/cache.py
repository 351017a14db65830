"""`tvm-sparse cache`: what is kept on disk, and how to get rid of it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

import click

from tvm_sparse.cache import manifest
from tvm_sparse.cache.store import KINDS, Cache, CacheEntry
from tvm_sparse.cli.options.choice import Choice
from tvm_sparse.cli.options.output import cache_option
from tvm_sparse.errors import CacheError, ConfigError
from tvm_sparse.model.facts import ModelFacts
from tvm_sparse.words import counted

_kind_option = click.option(
    "--kind",
    type=Choice(KINDS),
    help="Only imported models (ir), builds (lib), exports of servers (served) or measurements.",
)


@click.group("cache")
def command() -> None:
    """List, explain and remove what is kept on disk.

    Everything in it can be made again: imported models (ir), compiled builds (lib), what servers
    exported (served) and what studies measured (bench). It is in ./cache unless --cache-dir or
    TVM_SPARSE_CACHE name another directory, or say `user`: the one in your home directory that all
    projects share.
    """


@command.command("ls")
@_kind_option
@cache_option
def ls(kind: str | None, cache_dir: str | None) -> None:
    """List the entries, oldest first."""
    from tvm_sparse.cli.results import print_wide
    from tvm_sparse.report.figures import describe_size
    from tvm_sparse.report.fitted_table import FittedTable

    cache = Cache(cache_dir)
    entries = cache.ls(kind)
    if not entries:
        print_wide(f"{cache.root} is empty")
        return
    table = FittedTable(str(cache.root))
    table.add_column("entry")
    table.add_column("what", wraps=True)
    table.add_column("created", spare=1)
    table.add_column("size", right=True)
    for entry in entries:
        what = f"damaged: {entry.problem}" if entry.problem else _describe(entry)
        created = str(entry.manifest.get("created", "-"))[:16].replace("T", " ")
        size = describe_size(entry.size_bytes)
        table.add_row(f"{entry.kind}/{entry.key}", what, created, size)
    print_wide(table)
    total = sum(entry.size_bytes for entry in entries)
    print_wide(f"{counted(len(entries), 'entry')}, {describe_size(total)}")


@command.command("info")
@click.argument("entry")
@cache_option
def info(entry: str, cache_dir: str | None) -> None:
    """Say what ENTRY is, and check its files.

    ENTRY is a key or the beginning of one, with or without its kind: lib/3f0c.
    """
    from tvm_sparse.cli.results import print_wide
    from tvm_sparse.report.figures import describe_size

    found = Cache(cache_dir).info(entry)
    facts = {"entry": f"{found.kind}/{found.key}", "what": _describe(found), "path": found.path}
    facts |= {name: found.manifest.get(name, "-") for name in ("created", "versions")}
    if found.kind == "ir" and not found.problem:
        facts |= _facts_of_import(found)
    problem = found.problem or manifest.verify(found.path, found.manifest, full_check=True)
    facts["state"] = f"damaged: {problem}" if problem else "intact"
    for name, value in facts.items():
        print_wide(f"{name:<10} {_as_text(value)}")
    for name, file in found.manifest.get("files", {}).items():
        print_wide(f"{'file':<10} {name}, {describe_size(file['size_bytes'])}")


@command.command("clear")
@click.argument("entry", default="")
@_kind_option
@click.option(
    "--older-than",
    metavar="AGE",
    help="Only what was made that long ago or before: 90m, 12h, 30d, 4w.",
)
@click.option(
    "--max-size",
    metavar="SIZE",
    help="Only the oldest, until the others take no more than this: 500MB, 2.5GB.",
)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@cache_option
def clear(
    entry: str,
    kind: str | None,
    older_than: str | None,
    max_size: str | None,
    yes: bool,
    cache_dir: str | None,
) -> None:
    """Remove ENTRY, or everything, after asking.

    ENTRY is the beginning of one key or of several, with or without the kind.
    """
    from tvm_sparse.cache import selection
    from tvm_sparse.cli.results import print_wide
    from tvm_sparse.report.figures import describe_size

    age = None if older_than is None else selection.parse_age(older_than)
    size = None if max_size is None else selection.parse_size(max_size)
    cache = Cache(cache_dir)
    doomed = [found for found in cache.ls(kind) if found.matches(entry)]
    if age is not None:
        doomed = selection.older_than(doomed, age, datetime.now(timezone.utc))
    if size is not None:
        doomed = selection.beyond_size(doomed, size)
    total = describe_size(sum(found.size_bytes for found in doomed))
    what = f"{counted(len(doomed), 'entry')}, {total}, from {cache.root}"
    if doomed and not yes:
        _ask(what)
    cache.remove(doomed)
    print_wide(f"removed {what}")


def _ask(what: str) -> None:
    """Ask whether to remove something, and end the command with exit code 1 if not."""
    if not sys.stdin.isatty():
        raise ConfigError(f"removing {what}: nobody is there to ask, give --yes to go on")
    if not click.confirm(f"remove {what}?", err=True):
        click.echo("nothing is removed", err=True)
        sys.exit(1)


def _describe(entry: CacheEntry) -> str:
    """Return one line on what an entry holds."""
    facts = entry.manifest
    spec = facts.get("spec", {})
    if entry.kind == "ir":
        return f"{_model_shape(spec)}, {facts.get('weights', {}).get('kind')} weights"
    build = f"{_model_shape(spec.get('model', {}))}: {facts.get('build')}, {facts.get('isa')}"
    if entry.kind == "bench":
        measured = f"{facts.get('build')} measured on {facts.get('isa')}"
        return f"{_model_shape(spec['model'])}: {measured}" if "model" in spec else measured
    sparsity = spec.get("sparsity")
    if not sparsity:
        return build
    rows, columns = sparsity["block_shape"]
    return f"{build}, {sparsity['prune']} {rows}x{columns} {sparsity['sparsity']:g}"


def _model_shape(spec: Mapping[str, Any]) -> str:
    layers = f", {counted(spec['num_layers'], 'layer')}" if spec.get("num_layers") else ""
    return f"{spec.get('model')}{layers}, batch {spec.get('batch')}, {spec.get('seq_len')} tokens"


def _facts_of_import(entry: CacheEntry) -> dict[str, Any]:
    try:
        facts = ModelFacts.from_manifest(entry.manifest)
    except CacheError as error:
        return {"model": str(error)}
    return {
        "model": f"{facts.architecture} ({facts.task})",
        "weights": str(facts.weights),
        "inputs": list(map(str, facts.inputs)),
        "outputs": list(map(str, facts.outputs)),
    }


def _as_text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {text}" for name, text in value.items())
    return ", ".join(value) if isinstance(value, list) else str(value)
