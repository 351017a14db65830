"""A kernel's facts as an attribute of its function: from where it is made to where it is called."""

from __future__ import annotations

import functools

import msgspec
import tvm

from tvm_sparse.kernel_facts import KernelFacts

_ATTRIBUTE = "tvm_sparse.kernel"
_ASSERTS = "tvm_sparse.asserts"


@functools.cache
def describe(kernel: tvm.tirx.PrimFunc, facts: KernelFacts) -> tvm.tirx.PrimFunc:
    """Return the kernel with its description; the same kernel, the same one."""
    return kernel.with_attr(_ATTRIBUTE, msgspec.json.encode(facts).decode())


def described(kernel: tvm.tirx.PrimFunc) -> KernelFacts | None:
    """Return what `describe` said of a kernel, None of one that is not ours."""
    found = (kernel.attrs or {}).get(_ATTRIBUTE)
    return None if found is None else msgspec.json.decode(str(found), type=KernelFacts)


def asserting(kernel: tvm.tirx.PrimFunc) -> tvm.tirx.PrimFunc:
    """Return a kernel that asserts something at every call, and is to go on doing it."""
    return kernel.with_attr(_ASSERTS, True)


def asserts(kernel: tvm.tirx.PrimFunc) -> bool:
    """Whether `asserting` was said of a kernel."""
    return _ASSERTS in (kernel.attrs or {})
