"""AArch64 servers, as their /proc/cpuinfo describes them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tvm_sparse import host
from tvm_sparse.aarch64 import core_name, decode_hwcap, features_by_hwcap, is_aarch64, sve_bits
from tvm_sparse.diagnosis.machine import look_at_cpu
from tvm_sparse.errors import ConfigError
from tvm_sparse.host import detect_host, known_features, read_cpuinfo
from tvm_sparse.target import resolve_target

pytestmark = pytest.mark.unit

_N1 = (
    "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop "
    "asimddp"
)
_V1 = (
    "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm jscvt fcma "
    "lrcpc dcpop sha3 sm3 sm4 asimddp sha512 sve asimdfhm dit uscat ilrcpc flagm ssbs paca pacg "
    "dcpodp svei8mm svebf16 i8mm bf16 dgh rng"
)
_V2 = (
    "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm jscvt fcma "
    "lrcpc dcpop sha3 asimddp sha512 sve asimdfhm dit uscat ilrcpc flagm sb paca pacg dcpodp sve2 "
    "sveaes svepmull svebitperm svesha3 flagm2 frint svei8mm svebf16 i8mm bf16 dgh rng bti"
)


def cpuinfo(features: str, implementer: str, part: str, mips: str) -> str:
    """Return the text of a machine with two cores."""
    core = (
        f"BogoMIPS\t: {mips}\nFeatures\t: {features}\nCPU implementer\t: {implementer}\n"
        f"CPU architecture: 8\nCPU variant\t: 0x1\nCPU part\t: {part}\nCPU revision\t: 1\n"
    )
    return "\n".join(f"processor\t: {number}\n{core}" for number in range(2))


@pytest.fixture
def on_aarch64(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this be an AArch64 machine."""
    monkeypatch.setattr("platform.machine", lambda: "aarch64")


@pytest.mark.usefixtures("on_aarch64")
@pytest.mark.parametrize(
    ("text", "name", "known"),
    [
        # Graviton2 and Ampere Altra.
        (cpuinfo(_N1, "0x41", "0xd0c", "243.75"), "Arm Neoverse N1", "asimd asimddp"),
        # Graviton3.
        (
            cpuinfo(_V1, "0x41", "0xd40", "2100.00"),
            "Arm Neoverse V1",
            "asimd asimddp bf16 i8mm sve",
        ),
        # Graviton4.
        (
            cpuinfo(_V2, "0x41", "0xd4f", "2000.00"),
            "Arm Neoverse V2",
            "asimd asimddp bf16 i8mm sve sve2",
        ),
        (cpuinfo(_V1, "0xc0", "0xac3", "2000.00"), "Ampere-1", "asimd asimddp bf16 i8mm sve"),
        (cpuinfo("fp asimd", "0x41", "0xfff", "1.0"), "AArch64 core 0xfff of 0x41", "asimd"),
    ],
    ids=["graviton2", "graviton3", "graviton4", "ampereone", "unknown"],
)
def test_servers_are_known_by_core_and_features(text, name, known, monkeypatch):
    model, features = read_cpuinfo(text)
    assert (model, known_features(features)) == (name, tuple(known.split()))
    monkeypatch.setattr("tvm_sparse.host._read", lambda path: text)
    found = host.detect_host.__wrapped__()
    assert (found.isa, found.model) == ("aarch64", name)
    monkeypatch.setattr("tvm_sparse.target.detect_host", lambda: found)
    target = resolve_target()
    assert (target.isa, target.mtriple, target.runs_here) == ("aarch64", None, True)
    assert (target.vector_bits, target.num_registers) == (128, 32)
    assert resolve_target("x86-64-v3").mtriple == "x86_64-linux-gnu"


@pytest.mark.usefixtures("on_aarch64")
def test_where_cpuinfo_is_another_machines_the_system_is_asked(monkeypatch):
    asked = frozenset({"fp", "asimd"})
    monkeypatch.setattr(host, "features_by_hwcap", lambda: asked)
    emulator = "model name\t: AMD EPYC\nflags\t\t: sse2 avx2\n"
    assert read_cpuinfo(emulator) == ("AArch64", asked)
    assert read_cpuinfo("") == ("AArch64", asked)


@pytest.mark.usefixtures("on_aarch64")
def test_without_asimd_no_build_runs(monkeypatch):
    monkeypatch.setattr("tvm_sparse.host._read", lambda path: cpuinfo("fp", "0x41", "0xd08", "1"))
    found = host.detect_host.__wrapped__()
    monkeypatch.setattr("tvm_sparse.target.detect_host", lambda: found)
    with pytest.raises(ConfigError, match=r"\(Arm Cortex-A72\) supports none of them"):
        resolve_target()


def test_the_bits_of_the_auxiliary_vector():
    # Of a Neoverse V1: the word of a Graviton3, and the bits that matter of its second.
    assert decode_hwcap(0b10100000000000000000000 | 0b11, 1 << 13 | 1 << 14) == {
        *("fp", "asimd", "asimddp", "sve", "i8mm", "bf16"),
    }
    if is_aarch64():
        assert "asimd" in features_by_hwcap()
    else:
        assert sve_bits(frozenset({"sve"})) == 0


def test_doctor_names_what_is_beyond_the_level(monkeypatch):
    features = frozenset(_V1.split())
    monkeypatch.setattr("tvm_sparse.diagnosis.machine.sve_bits", lambda features: 256)
    model = core_name("0x41", "0xd40")
    found = look_at_cpu(replace(detect_host(), model=model, isa="aarch64", features=features))
    assert found.state == "ok"
    wanted = "Arm Neoverse V1, aarch64 asimddp bf16 i8mm sve, SVE of 256 bits, L1d "
    assert found.found.startswith(wanted)
