"""Memory that a process keeps for its next use, instead of giving it back to the kernel."""

import ctypes

# Of malloc.h.
_TRIM_THRESHOLD = -1
_MMAP_MAX = -4
_LARGEST = 2**31 - 1


def keep_freed_memory() -> bool:
    """Let glibc keep what is freed, which makes networks up to several times faster on CPUs.

    By default every large activation is mapped anew from the kernel, page by page, and given back
    as soon as it is freed; that costs more than many a layer. The price is that the process stays
    as large as it once was. The setting is of the whole process, hence not made at import: the
    command line, the demo and training make it, and a program of your own may, before it runs a
    model.

    Returns:
        Whether the setting was made: not without glibc (musl, macOS, Windows).
    """
    try:
        libc = ctypes.CDLL(None)
        libc.gnu_get_libc_version  # noqa: B018  (others have no such name)
        mallopt = libc.mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(_MMAP_MAX, 0) and mallopt(_TRIM_THRESHOLD, _LARGEST))
