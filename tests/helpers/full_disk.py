"""A disk that is full, as far as this process sees it."""

from __future__ import annotations

import resource
from contextlib import contextmanager


@contextmanager
def files_of_at_most(size):
    """Let every file end at `size` bytes."""
    _, hard = before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
