#!/usr/bin/env python3
"""Check AArch64 builds on a machine of another kind: run them in an emulator, compare outputs.

    python scripts/emulate_aarch64.py
    mmdebstrap --architectures=arm64 --variant=extract --include=python3 bookworm ROOT
    python scripts/emulate_aarch64.py --root ROOT

One encoder layer of every --width is built dense and sparse, for AArch64 and for this machine, on
the same weights, for every --seq-len and for any batch and length. QEMU runs the former with the
C++ example, cross-compiled, on the libraries of TVM's wheel for AArch64, and compares its outputs
with those of the latter here. With --root, a file system with an AArch64 Python, the light install
of this package is put beside it and runs them too. It takes some minutes; its times mean nothing.

Needs, by their Debian names, qemu-user-static and g++-aarch64-linux-gnu; pip finds the wheels.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import click
from emulate_cases import parse_cases, place_case, runs_of
from rich.console import Console

from tvm_sparse.errors import TvmSparseError

ISA = "aarch64"
EMULATORS = ("qemu-aarch64-static", "qemu-aarch64")
COMPILER = "aarch64-linux-gnu-g++"
#: Where the cross compiler has the C library of such machines.
SYSROOT = Path("/usr/aarch64-linux-gnu")
PROJECT = Path(__file__).parents[1]
EXAMPLE = PROJECT / "examples" / "cpp" / "run_artifact.cc"
TVM = ("apache-tvm", "apache-tvm-ffi")
#: Of wheels that Debian's C library runs.
PLATFORMS = [f"--platform=manylinux_2_{glibc}_aarch64" for glibc in (34, 31, 28, 27, 24, 17)] + [
    "--platform=manylinux2014_aarch64",
    "--only-binary=:all:",
    "--implementation=cp",
]
#: Runs an artifact, compares its outputs, and tells how far they are apart.
LOAD = """
import platform, sys
from pathlib import Path
import numpy as np
import tvm_sparse

folder = Path(sys.argv[1])
model = tvm_sparse.load(folder)
apart = 0.0
for run in [path.parent for path in folder.glob("*/in")] or [folder]:
    inputs = {s.name: np.fromfile(run / "in" / f"{s.name}.bin", s.dtype) for s in model.inputs}
    for s in model.inputs:
        shape = s.shape if run == folder else tuple(map(int, run.name.split("x")))
        inputs[s.name] = inputs[s.name].reshape(shape)
    for name, values in model.run(**inputs).items():
        expected = np.fromfile(run / "out" / f"{name}.bin", values.dtype).reshape(values.shape)
        np.testing.assert_allclose(values, expected, rtol=1e-3, atol=1e-3)
        apart = max(apart, float(np.abs(values - expected).max()))
print(f"{platform.machine()} Python {platform.python_version()}: differs by {apart:.1e} at most")
"""

console = Console(highlight=False)


def pip(*arguments: object) -> None:
    """Run pip for packages of AArch64."""
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*command, *map(str, arguments)], check=True)


def fetch_runtime(folder: Path) -> Path:
    """Return a directory with the libraries and headers of TVM's wheels for AArch64."""
    wanted = [f"{name}=={version(name)}" for name in TVM]
    pip("download", "--no-deps", *PLATFORMS, "--dest", folder / "wheels", *wanted)
    for wheel in (folder / "wheels").iterdir():
        with zipfile.ZipFile(wheel) as archive:
            parts = ("tvm/lib/libtvm_runtime.so", "tvm_ffi/lib/libtvm_ffi.so", "tvm_ffi/include/")
            names = [name for name in archive.namelist() if name.startswith(parts)]
            archive.extractall(folder / "runtime", names)
    return folder / "runtime"


def compile_example(folder: Path, runtime: Path) -> Path:
    """Cross-compile the C++ example."""
    program = folder / "run_artifact"
    libraries = ["-Wl,--no-as-needed", f"-L{runtime}/tvm/lib", "-ltvm_runtime"]
    libraries += [f"-L{runtime}/tvm_ffi/lib", "-ltvm_ffi", "-ldl"]
    command = [COMPILER, "-std=c++17", "-O2", "-isystem", runtime / "tvm_ffi" / "include"]
    subprocess.run([*command, EXAMPLE, "-o", program, *libraries], check=True)
    return program


def install_light(folder: Path, root: Path) -> list[str]:
    """Install this package for the Python of a root; return what runs that Python, emulated."""
    python = next((root / "usr" / "bin").glob("python3.1?"))
    number = python.name.removeprefix("python")
    wheels = folder / "own"
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", wheels]
    subprocess.run([*build, PROJECT], check=True)
    (wheel,) = wheels.glob("*.whl")
    target = folder / "packages"
    pip(
        "install",
        "--no-warn-conflicts",
        f"--python-version={number}",
        *PLATFORMS,
        "--target",
        target,
        wheel,
    )
    return ["-L", str(root), "-E", f"PYTHONPATH={target}", str(python)]


def emulate(emulator: str, arguments: Sequence[object]) -> str:
    """Run a program in the emulator and return what it says in one line.

    Raises
    ------
    RuntimeError
        It fails; with the end of what it says.
    """
    command = [emulator, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = (done.stdout + done.stderr).strip().splitlines()
    if done.returncode:
        raise RuntimeError("; ".join(said[-3:]))
    return "; ".join(line for line in said if "differs" in line)


@click.command(help=__doc__)
@click.option("--root", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--width", default="384,768", show_default=True, help="Hidden units.")
@click.option("--seq-len", default="16,40,128", show_default=True)
@click.option("--block", default="1x1,4x1,16x1", show_default=True)
def main(root: Path | None, width: str, seq_len: str, block: str) -> None:
    """Build, emulate, compare."""
    emulator = next((name for name in EMULATORS if shutil.which(name)), None)
    if emulator is None or shutil.which(COMPILER) is None:
        raise click.UsageError(f"{EMULATORS[0]} or {COMPILER} not found; --help says what has them")
    cases = parse_cases(width, f"{seq_len},0", block)
    failed = 0
    with tempfile.TemporaryDirectory(prefix="emulate-") as name:
        folder = Path(name)
        runtime = fetch_runtime(folder)
        program = compile_example(folder, runtime)
        libraries = f"{runtime}/tvm/lib:{runtime}/tvm_ffi/lib"
        example = ["-L", SYSROOT, "-E", f"LD_LIBRARY_PATH={libraries}", program]
        python = install_light(folder, root.absolute()) if root else None
        for number, case in enumerate(cases, 1):
            directory = place_case(case, folder, ISA, "native")
            once = [*example, directory, "--threads", 2, "--iterations", 1]
            runs: list[list[object]] = []
            for run in runs_of(case, directory):
                shape = [] if case.seq_len else ["--shape", run.name]
                runs.append([*once, *shape, "--inputs", run / "in", "--expect", run / "out"])
            if python:
                runs.append([*python, "-c", LOAD, directory])
            for arguments in runs:
                try:
                    said = f"ok: {emulate(emulator, arguments)}"
                except RuntimeError as error:
                    failed += 1
                    said = f"FAILED: {error}"
                console.print(f"{number} of {len(cases)}, {case.name} {said}", soft_wrap=True)
    if failed:
        raise SystemExit(f"emulate: {failed} runs do not agree with this machine's")
    console.print(f"all {len(cases)} builds agree with this machine's")


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        main()
    except (TvmSparseError, subprocess.CalledProcessError) as error:
        raise SystemExit(f"emulate: {error}") from None
