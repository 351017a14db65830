#!/usr/bin/env python3
"""Read files that lie for some time; every one must be taken or refused in one line.

    python scripts/fuzz.py --seconds 60 --seed 1

Prints the mutants of each kind of file and what ended in another way, with the number that makes
it again; fails if something did. The mutants are those of the tests.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import click

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from fuzzing import TARGETS, faults

_STEP = 20


@click.command(help=__doc__)
@click.option("--seconds", default=60.0, show_default=True, help="For how long.")
@click.option("--seed", default=0, show_default=True, help="Of the mutants.")
@click.option("--only", type=click.Choice(sorted(TARGETS)), help="One kind of file.")
def main(seconds: float, seed: int, only: str | None) -> None:
    """Fuzz."""
    names = [only] if only else list(TARGETS)
    done: Counter[str] = Counter()
    spent_s = [0.0] * len(names)
    found = 0
    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as scratch:
        for number in range(len(names)):
            (Path(scratch) / str(number)).mkdir()
        while time.monotonic() < end:
            # Each kind gets as much time: what is read fast is read more often.
            number = min(range(len(names)), key=lambda number: spent_s[number])
            name, start = names[number], time.monotonic()
            numbers = range(done[name], done[name] + _STEP)
            for fault in faults(name, seed, numbers, Path(scratch) / str(number)):
                found += 1
                print(fault, flush=True)
            done[name] += _STEP
            spent_s[number] += time.monotonic() - start
    for name in names:
        print(f"{name:20} {done[name]:6} mutants")
    print(f"{sum(done.values())} mutants, {found} unforeseen ends")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
