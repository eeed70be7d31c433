"""Places: never more taken than there are, and none lost, whatever happens at once."""

import threading
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

import pytest

from checkrein.flow import run
from checkrein_opa.places import Places


def taken(places, deadline=0.0):
    return run(places.enter(deadline))


def test_there_are_as_many_as_told():
    places = Places(2)
    assert [taken(places) for _ in range(3)] == [True, True, False]
    places.leave()
    assert [taken(places) for _ in range(2)] == [True, False]


def test_the_first_come_is_the_first_served():
    places = Places(1)
    assert taken(places)
    first, second = places.enter(monotonic() + 20), places.enter(monotonic() + 20)
    here, there = next(first), next(second)
    places.leave()
    assert here.future.done()
    assert not there.future.done()


def test_whoever_gives_up_the_moment_it_is_served_passes_its_place_on():
    places = Places(1)
    assert taken(places)
    waiting = places.enter(monotonic() + 20)
    next(waiting)
    places.leave()
    waiting.close()
    assert taken(places)


@pytest.mark.parametrize("patience", [0.0, 0.0005, 20.0])
def test_a_crowd_never_takes_more_than_there_are_and_loses_none(patience):
    places = Places(3)
    here, most, lock = 0, 0, threading.Lock()

    def work():
        nonlocal here, most
        served = 0
        for _ in range(300):
            if not taken(places, monotonic() + patience):
                continue
            with lock:
                here += 1
                most = max(most, here)
            served += 1
            with lock:
                here -= 1
            places.leave()
        return served

    with ThreadPoolExecutor(12) as pool:
        served = [one.result() for one in [pool.submit(work) for _ in range(12)]]
    assert most <= 3
    assert sum(served) == 12 * 300 or patience < 1
    assert [taken(places) for _ in range(4)] == [True, True, True, False]
