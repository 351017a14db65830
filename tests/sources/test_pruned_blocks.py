"""The block shape of a pruned model is taken from its own record."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from tvm_sparse.cli.options.model import model_options
from tvm_sparse.errors import CheckpointError
from tvm_sparse.sources.pruned_blocks import pruned_blocks

pytestmark = pytest.mark.unit


@pytest.fixture
def pruned(tmp_path) -> str:
    (tmp_path / "pruning.json").write_text('{"spec": {"method": "wanda", "block_shape": [4, 1]}}')
    return str(tmp_path)


def test_the_record_says_it(pruned, tmp_path):
    assert pruned_blocks(pruned) == (4, 1)
    assert pruned_blocks("bert-tiny") is None
    (tmp_path / "pruning.json").write_text("{}")
    assert pruned_blocks(pruned) is None


@pytest.mark.parametrize("shape", ["[4, 0]", "[4]", '"4x1"', "4"])
def test_a_damaged_record_is_refused(pruned, tmp_path, shape):
    (tmp_path / "pruning.json").write_text(f'{{"spec": {{"block_shape": {shape}}}}}')
    with pytest.raises(CheckpointError, match=r"pruning\.json"):
        pruned_blocks(pruned)


@click.command()
@model_options
def blocks(sparsity_spec, **_specs):
    click.echo(sparsity_spec.block_shape)


@pytest.mark.parametrize(
    ("flags", "shape"), [([], (4, 1)), (["--block", "16x1"], (16, 1)), (["--bs-c", "2"], (1, 2))]
)
def test_commands_take_it_unless_told_otherwise(pruned, flags, shape):
    result = CliRunner().invoke(blocks, ["--model", pruned, *flags], catch_exceptions=False)
    assert result.output.strip() == str(shape)
    plain = CliRunner().invoke(blocks, ["--model", "bert-tiny"], catch_exceptions=False)
    assert plain.output.strip() == "(1, 1)"
