# SPDX-License-Identifier: GPL-3.0-or-later
"""Micrographs that stream through: the next is prepared while the last is worked on."""

from __future__ import annotations

import itertools
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Callable, Deque, Iterable, Iterator, Tuple, TypeVar, Union

from ..errors import MicrographError

Item = TypeVar("Item")
Result = TypeVar("Result")


def prefetch(
    prepare: Callable[[Item], Result], items: Iterable[Item], ahead: int = 1, threads: int = 1
) -> Iterator[Tuple[Item, Union[Result, MicrographError]]]:
    """Prepare items in other threads, at most `ahead` of the one being worked on.

    Yields:
        Each item, in order, with its result, or with the MicrographError that stood in the way.
    """
    source = iter(items)
    waiting: Deque[Tuple[Item, Future[Result]]] = deque()
    with ThreadPoolExecutor(max_workers=threads) as pool:
        try:
            for item in itertools.islice(source, ahead):
                waiting.append((item, pool.submit(prepare, item)))
            while waiting:
                item, future = waiting.popleft()
                result = _outcome(future)
                for following in itertools.islice(source, 1):
                    waiting.append((following, pool.submit(prepare, following)))
                yield item, result
        finally:
            for _, future in waiting:
                future.cancel()


def _outcome(future: Future[Result]) -> Union[Result, MicrographError]:
    try:
        return future.result()
    except MicrographError as error:
        return error
