# SPDX-License-Identifier: GPL-3.0-or-later
"""Items prepared ahead in another thread: order, number, failures and the end."""

import threading
import time

import pytest

from scipion_pupick.engine.errors import MicrographError
from scipion_pupick.engine.files.prefetch import prefetch

PATIENCE = 20


def square(number):
    return number**2


@pytest.mark.parametrize("count", [0, 1, 2, 3, 20])
@pytest.mark.parametrize("ahead", [1, 2, 5])
def test_all_items_come_in_order(count, ahead):
    items = (number for number in range(count))
    expected = [(number, number**2) for number in range(count)]
    assert list(prefetch(square, items, ahead)) == expected


@pytest.mark.parametrize("ahead", [1, 2, 4])
def test_no_more_than_a_few_are_in_flight(ahead):
    taken = []
    source = (taken.append(number) or number for number in range(20))
    for number, _ in prefetch(square, source, ahead):
        assert len(taken) == min(20, number + 1 + ahead)


def test_the_next_is_prepared_while_one_is_worked_on():
    prepared = [threading.Event() for _ in range(4)]

    def prepare(number):
        prepared[number].set()
        return number

    for number, _ in prefetch(prepare, range(4)):
        for following in prepared[number + 1 : number + 2]:
            assert following.wait(PATIENCE)


def test_one_other_thread_prepares_one_item_at_a_time():
    threads, busy = set(), threading.Lock()

    def prepare(number):
        assert busy.acquire(blocking=False)
        threads.add(threading.get_ident())
        busy.release()
        return number

    assert len(list(prefetch(prepare, range(30), 5))) == 30
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_a_micrograph_that_fails_stands_in_for_its_result():
    failure = MicrographError("b: damaged")

    def prepare(name):
        if name == "b":
            raise failure
        return name.upper()

    outcomes = list(prefetch(prepare, "abcd"))
    assert outcomes == [("a", "A"), ("b", failure), ("c", "C"), ("d", "D")]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, MemoryError])
def test_other_errors_are_raised_in_their_turn(error):
    def prepare(number):
        if number == 3:
            raise error("at 3")
        return number

    seen = []
    with pytest.raises(error, match="at 3"):
        seen.extend(number for number, _ in prefetch(prepare, range(100)))
    assert seen == [0, 1, 2]
    assert no_thread_is_left()


def test_an_error_of_the_source_is_raised():
    def source():
        yield from range(4)
        raise OSError("the list ends here")

    with pytest.raises(OSError, match="the list ends here"):
        list(prefetch(square, source()))
    assert no_thread_is_left()


def no_thread_is_left():
    return not any("ThreadPool" in thread.name for thread in threading.enumerate())


def test_stopping_early_ends_the_thread_and_prepares_no_more():
    begun = []

    def prepare(number):
        begun.append(number)
        time.sleep(0.001)
        return number

    stream = prefetch(prepare, range(100_000), 2000)
    assert next(stream) == (0, 0)
    stream.close()
    assert no_thread_is_left()
    assert len(begun) < 2000


def test_nothing_is_prepared_before_the_first_is_asked_for():
    begun = []
    stream = prefetch(begun.append, range(3))
    assert begun == []
    stream.close()
    assert begun == []
