#!/usr/bin/env python3
"""Check builds for CPUs unlike this machine's: run them in an emulator, compare outputs.

    python scripts/emulate.py --bochs BOCHS --linux VMLINUZ [--target x86-64-v3-vnni]

One encoder layer of every --width is built dense and sparse, for the target and for this machine,
on the same weights: of float32, and of 8 bits where the target multiplies words of them, which this
machine then has to do as well. A Linux guest in Bochs runs the former with the C++ example and
compares its outputs with those of the latter here. It takes some minutes; its times mean nothing.

Needs, by their Debian names: g++, make, cpio, xorriso, isolinux, syslinux-common, busybox-static;
Bochs configured with --enable-x86-64 --enable-avx --enable-evex --with-nogui (Debian's is not); a
kernel with the serial console built in, such as that of linux-image-cloud-amd64.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click
from emulate_cases import parse_cases, place_case
from rich.console import Console

from tvm_sparse.errors import TvmSparseError
from tvm_sparse.target import resolve_target

#: Bochs' CPUs by target, those with AMX if it was configured with `--enable-amx`.
CPUS = {
    "x86-64-v4": "corei7_skylake_x",
    "x86-64-v4-amx": "sapphire_rapids",
    "x86-64-v4-vnni": "sapphire_rapids",
    "x86-64-v3-vnni": "arrow_lake",
}
EXAMPLE = Path(__file__).parents[1] / "examples" / "cpp"
ISOLINUX = Path("/usr/lib/ISOLINUX/isolinux.bin")
LDLINUX = Path("/usr/lib/syslinux/modules/bios/ldlinux.c32")
BUSYBOX = Path("/bin/busybox")
BIOS = ("BIOS-bochs-latest", "VGABIOS-lgpl-latest.bin")
PROGRAMS = ("g++", "make", "cpio", "xorriso")

# The kernel's own messages are kept away: a case is one line on the serial console.
INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
for case in /cases/*; do
  if run_artifact $case --threads 1 --iterations 1 --inputs $case/in --expect $case/out \\
      --tolerance $(cat $case/tolerance) >/log 2>&1
  then echo "CASE ${case#/cases/} ok: $(grep differs /log | tr '\\n' ' ')"
  else echo "CASE ${case#/cases/} FAILED: $(tail -n 3 /log | tr '\\n' ' ')"
  fi
done
echo CASES DONE
sleep 1
poweroff -f
"""
BOOT = """SERIAL 0 115200
DEFAULT linux
LABEL linux
  KERNEL /vmlinuz
  INITRD /initrd
  APPEND console=ttyS0,115200 quiet tsc=reliable nokaslr mitigations=off
"""
BOCHS = f"""megs: 1024
romimage: file={{bios}}/{BIOS[0]}
vgaromimage: file={{bios}}/{BIOS[1]}
cpu: model={{cpu}}, count=1, ips=100000000
ata0-master: type=cdrom, path=guest.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev=serial
log: bochs.log
display_library: nogui
"""

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)

console = Console(highlight=False)


def make_root(root: Path) -> None:
    """Fill the guest's file system: the example, the libraries it is linked with, a shell."""
    shutil.copytree(EXAMPLE, root / "src")
    subprocess.run(["make", "-s", "-B", "-C", root / "src", f"PYTHON={sys.executable}"], check=True)
    program = root / "src" / "run_artifact"
    for folder in ("bin", "proc"):
        (root / folder).mkdir(exist_ok=True)
    shutil.copy(program, root / "bin")
    shutil.copy(BUSYBOX, root / "bin")
    linked = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    # Each library keeps its path: the loader finds it as it does here.
    for word in linked.split():
        if word.startswith("/"):
            target = root / word.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(Path(word).resolve(), target)
    (root / "init").write_text(INIT)
    (root / "init").chmod(0o755)


def make_disc(folder: Path, linux: Path) -> None:
    """Make the disc that Bochs starts: boot loader, kernel, the guest's files."""
    disc = folder / "disc"
    (disc / "isolinux").mkdir(parents=True)
    shutil.copy(linux, disc / "vmlinuz")
    shutil.copy(ISOLINUX, disc / "isolinux")
    shutil.copy(LDLINUX, disc / "isolinux")
    (disc / "isolinux" / "isolinux.cfg").write_text(BOOT)
    pack = "find . | cpio --quiet -o -H newc | gzip -1 > ../disc/initrd"
    subprocess.run(pack, shell=True, cwd=folder / "root", check=True)
    command = ["xorriso", "-as", "mkisofs", "-quiet", "-o", "guest.iso"]
    command += ["-b", "isolinux/isolinux.bin", "-c", "isolinux/boot.cat", "-no-emul-boot"]
    command += ["-boot-load-size", "4", "-boot-info-table", "disc"]
    subprocess.run(command, cwd=folder, check=True)


def emulate(bochs: Path, bios: Path, cpu: str, folder: Path, timeout_s: float) -> Iterator[str]:
    """Run the guest and yield the lines of its cases as they come."""
    (folder / "bochsrc").write_text(BOCHS.format(bios=bios, cpu=cpu))
    with (folder / "bochs.out").open("w") as out:
        process = subprocess.Popen(
            [bochs, "-q", "-f", "bochsrc"],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
        try:
            end = time.monotonic() + timeout_s
            seen = 0
            while time.monotonic() < end:
                stopped = process.poll() is not None
                serial = folder / "serial"
                lines = serial.read_text(errors="replace").splitlines() if serial.exists() else []
                # The last one may not be whole yet.
                complete = [line for line in lines[:-1] if line.startswith("CASE ")]
                yield from complete[seen:]
                seen = len(complete)
                if stopped or "CASES DONE" in lines[:-1]:
                    return
                time.sleep(1)
        finally:
            process.kill()
            process.wait()


@click.command(help=__doc__)
@click.option("--bochs", type=FILE, required=True)
@click.option("--linux", type=FILE, required=True)
@click.option(
    "--bios",
    type=click.Path(file_okay=False, path_type=Path),
    default="/usr/local/share/bochs",
    show_default=True,
    help=f"Folder of {' and '.join(BIOS)}, which come with Bochs.",
)
@click.option("--target", type=click.Choice(list(CPUS)), default="x86-64-v4", show_default=True)
@click.option("--width", default="384,768", show_default=True, help="Hidden units.")
@click.option("--seq-len", default="16,40,128", show_default=True)
@click.option("--block", default="1x1,4x1,16x1,4x4", show_default=True)
@click.option("--timeout", "timeout_s", default=3600.0, show_default=True, help="Seconds.")
def main(
    bochs: Path,
    linux: Path,
    bios: Path,
    target: str,
    width: str,
    seq_len: str,
    block: str,
    timeout_s: float,
) -> None:
    """Build, emulate, compare."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    missing += [
        str(file)
        for file in (ISOLINUX, LDLINUX, BUSYBOX, *(bios / rom for rom in BIOS))
        if not file.exists()
    ]
    if missing:
        raise click.UsageError(f"not found: {', '.join(missing)}; --help says what has them")
    schemes = ("", "int8") if resolve_target(target).extensions else ("",)
    cases = parse_cases(width, seq_len, block, schemes)
    with tempfile.TemporaryDirectory(prefix="emulate-") as name:
        folder = Path(name)
        root = folder / "root"
        make_root(root)
        for number, case in enumerate(cases, 1):
            console.print(f"building {number} of {len(cases)}: {case.name}")
            place_case(case, folder, target, _baseline(target, case.scheme))
        shutil.move(folder / "cases", root)
        make_disc(folder, linux.resolve())
        console.print(f"emulating {CPUS[target]}")
        passed = 0
        for line in emulate(bochs.resolve(), bios.resolve(), CPUS[target], folder, timeout_s):
            console.print(line.removeprefix("CASE "), soft_wrap=True)
            passed += " ok: " in line
        if passed < len(cases):
            shown = (folder / "bochs.out").read_text(errors="replace")[-500:]
            raise SystemExit(
                f"emulate: {passed} of {len(cases)} builds agree with this machine's\n{shown}"
            )
    console.print(f"all {passed} builds agree with this machine's")


def _baseline(target: str, scheme: str) -> str:
    """Return what the outputs are compared with; the machine has to have it.

    Another one than the target where that gives the same outputs: of 8 bits one that multiplies
    words too, since others round weights differently.
    """
    if not scheme:
        return "x86-64-v3"
    able = [name for name in CPUS if resolve_target(name).extensions]
    found = [name for name in able if resolve_target(name).runs_here]
    if not found:
        raise click.UsageError(f"--target {target} given, and this machine is none of {able}")
    return min(found, key=lambda name: name == target)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        main()
    except (TvmSparseError, subprocess.CalledProcessError) as error:
        raise SystemExit(f"emulate: {error}") from None
