"""Memory that is used again and again stays with the process."""

from functools import cache

import numpy as np

__all__ = ["keep_freed_memory"]

# The largest block whose size glibc learns from is 32 MiB, with what it adds itself.
_LARGEST_BLOCK = 2**25 - 2**16


@cache
def keep_freed_memory() -> None:
    """Have glibc keep up to 64 MiB of freed memory for the next step of a search.

    How much it keeps is twice the largest block that was ever freed. Until that is large it may
    give back what each step frees, and fetch it anew, page by page: up to ten page faults a row, a
    third of the time. So a large block is freed here; nobody wrote to it, so it took no memory.
    Other allocators don't mind.
    """
    np.empty(_LARGEST_BLOCK, dtype=np.uint8)
