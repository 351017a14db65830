"""Write calibration and test texts from the docstrings of Python's own standard library.

    python scripts/make_texts.py calibration.txt test.txt --count 512

One text a line: the sentences of docstrings, none twice, shuffled by a seed. The two files share
no text, and no module either: what is measured on one was not seen in the other.
"""

from __future__ import annotations

import argparse
import ast
import random
import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path

_SKIPPED = ("test", "tests", "idlelib", "lib2to3", "site-packages", "turtledemo", "ensurepip")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
_WORDS = (6, 60)


def main() -> None:
    """Write the files that the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("calibration", type=Path, help="file for calibration and training")
    parser.add_argument("test", type=Path, help="file for evaluation")
    parser.add_argument("--count", type=int, default=512, help="texts in each file (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the shuffling (%(default)s)")
    arguments = parser.parse_args()
    generator = random.Random(arguments.seed)
    modules = sorted(modules_of(Path(sysconfig.get_paths()["stdlib"])))
    generator.shuffle(modules)
    seen: set[str] = set()
    for path, part in ((arguments.calibration, modules[::2]), (arguments.test, modules[1::2])):
        texts = [text for module in part for text in texts_of(module) if text not in seen]
        texts = list(dict.fromkeys(texts))
        seen.update(texts)
        generator.shuffle(texts)
        if len(texts) < arguments.count:
            parser.error(f"--count {arguments.count} given: there are only {len(texts)} texts")
        path.write_text("\n".join(texts[: arguments.count]) + "\n", encoding="utf-8")


def modules_of(root: Path) -> Iterator[Path]:
    """Yield the library's source files."""
    for path in root.rglob("*.py"):
        if not any(part in _SKIPPED for part in path.relative_to(root).parts):
            yield path


def texts_of(path: Path) -> Iterator[str]:
    """Yield the sentences of a module's docstrings that read like prose."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, ValueError):
        return
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        docstring = ast.get_docstring(node) if isinstance(node, kinds) else None
        for paragraph in (docstring or "").split("\n\n"):
            for sentence in _SENTENCE_END.split(" ".join(paragraph.split())):
                words = sentence.split()
                prose = sum(word.strip(".,;:()'\"").isalpha() for word in words)
                if _WORDS[0] <= len(words) <= _WORDS[1] and prose >= 0.8 * len(words):
                    yield sentence


if __name__ == "__main__":
    main()
