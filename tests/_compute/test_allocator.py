"""Freed memory comes back without page faults."""

import os
import subprocess
import sys

import pytest

from sklearn_rqvae._compute import _allocator

# In a process of its own, since what tests before this one have freed counts too.
SCRIPT = f"""
import resource, runpy
import numpy as np

keep_freed_memory = runpy.run_path({_allocator.__file__!r})["keep_freed_memory"]

def page_faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(3):
        two = [np.zeros(2**23, dtype=np.uint8) + 1 for _ in range(2)]
        del two
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

before = page_faults()
keep_freed_memory()
page_faults()
print(before, page_faults())
"""


def uses_glibc():
    return hasattr(os, "confstr") and "CS_GNU_LIBC_VERSION" in getattr(os, "confstr_names", ())


@pytest.mark.skipif(not uses_glibc(), reason="another C library keeps memory by rules of its own")
def test_freed_memory_is_used_again_without_page_faults():
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
    command = [sys.executable, "-c", SCRIPT]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    before, after = map(int, result.stdout.split())
    assert after < before / 10
