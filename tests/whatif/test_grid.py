"""The grid: its points, its YAML form, and what it refuses."""

from __future__ import annotations

import pytest

from tvm_sparse.errors import ConfigError
from tvm_sparse.host import available_cores
from tvm_sparse.tuning.setting import Setting
from tvm_sparse.whatif.grid import DEFAULT_SPARSITIES, Grid, Point, Targets
from tvm_sparse.whatif.grid_file import load_grid, make_grid, parse_axes

pytestmark = pytest.mark.unit


def test_the_default_grid_is_ten_sparsities_by_four_block_shapes_on_every_core():
    grid = Grid()
    assert len(grid.points) == len(DEFAULT_SPARSITIES) * 4 == 40
    assert grid.settings == [Setting(128, 1, available_cores(), 1)]


def test_every_combination_is_a_point_once():
    grid = Grid((0.9, 0.5, 0.9), ((4, 1),), (16, 8), (2,), (1,))
    assert grid.settings == [Setting(8, 2, 1, 2), Setting(16, 2, 1, 2)]
    assert grid.points == [
        Point(Setting(seq_len, 2, 1, 2), (4, 1), sparsity)
        for seq_len in (8, 16)
        for sparsity in (0.5, 0.9)
    ]
    assert str(grid.points[0]) == "4x1 at 50.0%, batch 2, 8 tokens, 1 thread"


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"sparsities": ()}, "no sparsity given"),
        ({"block_shapes": ()}, "no block_shape given"),
        ({"threads": ()}, "no threads given"),
        ({"sparsities": (0.5, 1.5)}, "sparsity 1.5 given: it is a fraction"),
        ({"sparsities": (float("nan"),)}, "sparsity nan given"),
        ({"seq_lens": (0,)}, "seq-len 0 given"),
        ({"batches": (-1,)}, "batch -1 given"),
        ({"threads": (available_cores() + 1,)}, f"use 1 to {available_cores()} on this machine"),
        ({"block_shapes": ((0, 1),)}, "block 0x1 given"),
    ],
)
def test_an_empty_axis_or_a_value_out_of_range_is_refused(axes, message):
    with pytest.raises(ConfigError, match=message):
        Grid(**axes)


def test_flags_are_lists_with_commas():
    axes = parse_axes({"sparsity": "0, .5,0.9", "seq_len": "64", "batch": None})
    assert axes == {"sparsities": (0.0, 0.5, 0.9), "seq_lens": (64,)}


@pytest.mark.parametrize(
    ("flag", "text", "message"),
    [("sparsity", "0.5,high", "'high' given: write fractions"), ("seq_len", "1.5", "--seq-len")],
)
def test_what_is_no_number_is_refused(flag, text, message):
    with pytest.raises(ConfigError, match=message):
        parse_axes({flag: text})


def test_an_empty_list_makes_an_empty_grid():
    with pytest.raises(ConfigError, match="no sparsity given: the grid is empty"):
        Grid(**parse_axes({"sparsity": ","}))


def test_a_yaml_file_holds_the_axes(tmp_path):
    path = tmp_path / "grid.yaml"
    path.write_text("sparsity: [0.5, 1]\nblock_shape: 4x1\nseq_len: [64, 128]\n")
    assert load_grid(path) == {
        "sparsities": (0.5, 1.0),
        "block_shapes": ((4, 1),),
        "seq_lens": (64, 128),
    }
    grid = Grid((0.5,), ((4, 1),), (64,), (2,), (1,))
    path.write_text(str(grid.to_json()))  # JSON is YAML
    assert make_grid(load_grid(path)) == grid


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("shape: [1x16]\n", "give --seq-len or --batch as a range"),
        ("seq_len: ['1:64', 128]\nshape: 1x16\n", "one largest length and one largest batch"),
        ("seq_len: 1:64\nshape: 2x16\n", "shape 2x16 given: the build is for up to 1x64"),
        ("seq_len: 2:64\n", "write a number, or a range from 1"),
        ("sparsities: [0.5]\nblocks: [4x1]\n", "unknown keys sparsities, blocks"),
        ("- 0.5\n", "holds no mapping"),
        ("sparsity: [0.5\n", "is no YAML file"),
        ("sparsity: [high]\n", "sparsity 'high' given, a fraction is needed"),
        ("seq_len: [1.5]\n", "seq_len 1.5 given, a whole number or a range"),
        ("seq_len: .inf", "seq_len inf given, a whole number or a range"),
        ("batch: .nan", "batch nan given, a whole number or a range"),
        ("threads: [true]\n", "threads True given, a whole number is needed"),
        ("block_shape: [[4, 1]]\n", r"a text like 4x1 is needed"),
        ("", "holds no mapping"),
    ],
)
def test_a_wrong_yaml_file_is_refused(tmp_path, text, message):
    path = tmp_path / "grid.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        make_grid(load_grid(path))


def test_ranges_make_one_build_that_runs_at_all_shapes(tmp_path):
    """YAML itself takes 1:32 for 92 seconds."""
    path = tmp_path / "grid.yaml"
    path.write_text("batch: 1:32\nseq_len: 1:512\nshape: [32x128, 1x16]\nthreads: 1\n")
    grid = make_grid(load_grid(path))
    assert [(s.batch, s.seq_len, s.limits) for s in grid.settings] == [
        (32, 128, (32, 512)),
        (1, 16, (32, 512)),
    ]
    assert (grid.settings[0].passes, grid.settings[1].passes) == (16, 1)
    path.write_text(str(grid.to_json()))
    assert make_grid(load_grid(path)) == grid
    # Without shapes: at one short text.
    short = make_grid(parse_axes({"seq_len": "1:512", "threads": "1"}))
    assert short.settings == [Setting(128, 1, 1, 1, (1, 512))]


def test_a_missing_or_binary_yaml_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_grid(tmp_path / "none.yaml")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(ConfigError, match="is no YAML file"):
        load_grid(tmp_path / "binary")


def test_targets_become_a_latency_budget():
    setting = Setting(128, 4, 2, 4)
    assert Targets().budget_ms(setting) is None
    assert Targets(latency_ms=7.0).budget_ms(setting) == 7.0
    # 4 sequences on 2 cores, 100 per second and core: 200 per second.
    assert Targets(items_per_s_per_core=100.0).budget_ms(setting) == pytest.approx(20.0)
    assert Targets(30.0, 100.0).budget_ms(setting) == pytest.approx(20.0)
    with pytest.raises(ConfigError, match="over 0"):
        Targets(latency_ms=0.0)
