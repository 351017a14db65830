"""Write texts with the section each is of, from the descriptions of Debian's packages.

    python scripts/make_articles.py articles.jsonl
    python scripts/make_articles.py short.jsonl --count 1000000 --short

`apt-cache dumpavail` has a line, or more, on every package that apt knows of, in some sixty
sections: classes for nothing. An article is some of one section, one behind the other, until it has
as many words as were drawn: lengths are log-normal with a median of 120 words, about those of
newsgroup articles without their headers. Short texts are the first lines alone.
"""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click

_MEDIAN, _SIGMA, _MOST = 120, 1.0, 2000


def descriptions() -> Iterator[tuple[str, str, str]]:
    """Yield the section, the first line and the rest of every package's description."""
    listed = subprocess.run(
        ["apt-cache", "dumpavail"], capture_output=True, text=True, check=True
    ).stdout
    for paragraph in listed.split("\n\n"):
        fields: dict[str, list[str]] = {}
        name = ""
        for line in paragraph.split("\n"):
            if not line.startswith(" "):
                name, _, line = line.partition(":")
            fields.setdefault(name, []).append(line.strip())
        found = fields.get("Description") or fields.get("Description-en")
        if found and "Section" in fields:
            rest = " ".join(line for line in found[1:] if line != ".")
            yield fields["Section"][0].rpartition("/")[2], found[0], rest


def articles(count: int, sections: tuple[str, ...], rng: random.Random) -> Iterator[dict[str, str]]:
    """Yield articles, of all sections or of some."""
    by_section: dict[str, list[str]] = {}
    for section, first, rest in descriptions():
        if not sections or section in sections:
            by_section.setdefault(section, []).append(f"{first}. {rest}".strip())
    if not by_section:
        raise click.ClickException("apt knows no packages: run apt-get update")
    names = sorted(by_section)
    for _ in range(count):
        section = rng.choice(names)
        wanted = min(rng.lognormvariate(0, _SIGMA) * _MEDIAN, _MOST)
        words: list[str] = []
        while len(words) < wanted:
            words += rng.choice(by_section[section]).split()
        yield {"section": section, "text": " ".join(words[: max(int(wanted), 5)])}


def short_texts(count: int, rng: random.Random) -> Iterator[dict[str, str]]:
    """Yield first lines of descriptions."""
    known = [(section, first) for section, first, _ in descriptions()]
    if not known:
        raise click.ClickException("apt knows no packages: run apt-get update")
    for _ in range(count):
        section, text = rng.choice(known)
        yield {"section": section, "text": text}


@click.command(help=__doc__)
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--count", default=777, show_default=True)
@click.option("--short", is_flag=True, help="First lines alone.")
@click.option("--sections", default="", help="These alone, with commas between them.")
@click.option("--seed", default=0, show_default=True)
def main(output: Path, count: int, short: bool, sections: str, seed: int) -> None:
    """Write the file."""
    rng = random.Random(seed)
    wanted = tuple(filter(None, sections.split(",")))
    rows = short_texts(count, rng) if short else articles(count, wanted, rng)
    with output.open("w", encoding="utf-8") as stream:
        for number, row in enumerate(rows):
            stream.write(json.dumps({"id": number, **row}, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
