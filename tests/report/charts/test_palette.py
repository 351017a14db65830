from __future__ import annotations

import pytest

from tvm_sparse.report.charts.palette import NEUTRAL, SERIES

pytestmark = pytest.mark.unit


def contrast(colour: str, ground: str) -> float:
    def luminance(text: str) -> float:
        channels = [int(text[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(colour), luminance(ground)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("ground", ["#ffffff", "#14171b"])
def test_colours_stand_out_on_both_grounds(ground) -> None:
    assert min(contrast(colour, ground) for colour in (*SERIES, NEUTRAL)) >= 3
