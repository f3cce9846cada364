"""Freed memory is kept for the next tensor, where glibc is the allocator."""

import platform
import subprocess
import sys

import pytest

CODE = """
import resource, torch
from hvae_sr.allocator import keep_freed_memory
print({call})
def faults(times):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        torch.zeros(16 * 2**20).add_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults(3)
print(faults(20))
"""


def ran(call: str) -> tuple[str, int]:
    """What the call says, and the page faults of 20 tensors of 64 MiB after it."""
    code = [sys.executable, "-c", CODE.format(call=call)]
    said, faults = subprocess.run(code, capture_output=True, text=True, check=True).stdout.split()
    return said, int(faults)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator than glibc's")
def test_a_second_tensor_uses_the_memory_of_the_first():
    _, before = ran("None")
    said, after = ran("keep_freed_memory()")
    assert said == "True"
    assert after < before / 10


def test_elsewhere_nothing_happens(monkeypatch: pytest.MonkeyPatch):
    from hvae_sr import allocator

    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda name: object())
    assert allocator.keep_freed_memory() is False
