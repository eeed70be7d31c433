"""A required log: a slot is set aside before a call is permitted, and without one it is denied."""

from dataclasses import replace

from logged import BOUND, DENIAL, PERMIT, ask, ids, number

from checkrein.enforcement import EnforcementPoint
from checkrein.testing import StaticEngine, permit


def test_a_slot_that_was_set_aside_is_there_however_much_text_came_between(opened, lossy):
    log = opened(lossy.path, queue=10, content="full", required=True)
    assert log.reserve()
    assert log.reserve()
    log.record(ask(text="x" * 4096 * 60))
    log.record(DENIAL)
    assert not log.reserve()
    assert not any(log.dropped.values())


def test_a_required_log_sets_a_slot_aside_and_has_none_left_when_it_is_full(opened, lossy):
    log = opened(lossy.path, queue=2, required=True)
    assert log.reserve()
    assert log.reserve()
    assert not log.reserve()
    log.release()
    assert log.reserve()
    log.record(PERMIT)
    log.record(PERMIT)
    assert not log.reserve()
    lossy.mend()
    assert log.flush(BOUND)
    assert log.reserve()
    assert not any(log.dropped.values())


def test_giving_back_more_than_was_set_aside_makes_no_room(opened, lossy):
    log = opened(lossy.path, queue=1, required=True)
    log.release()
    log.release()
    assert log.reserve()
    assert not log.reserve()


def test_a_denial_without_a_slot_cannot_push_out_the_permit_that_had_one(opened, lossy):
    log = opened(lossy.path, queue=1, required=True)
    assert log.reserve()
    assert not log.reserve()
    log.record(number(DENIAL, "no slot"))
    log.record(number(PERMIT, "had one"))
    lossy.mend()
    assert log.flush(BOUND)
    assert "had one" in ids(lossy.path.read_bytes())


def test_denials_without_a_slot_are_dropped_and_counted_so_that_the_queue_stays_bounded(opened, lossy):
    log = opened(lossy.path, queue=2, required=True)
    for _ in range(50):
        log.record(DENIAL)
    assert log.dropped["queue_full"] == 48
    for _ in range(50):
        log.record(PERMIT)
    assert log.dropped["queue_full"] == 96


def test_a_record_that_cannot_be_masked_gives_its_slot_back(opened, lossy):
    log = opened(lossy.path, queue=1, required=True)
    assert log.reserve()
    log.record(replace(PERMIT, document={"context": {"prompt": {}}}))
    assert log.dropped["masking_failed"] == 1
    assert log.reserve()


def test_a_log_that_is_not_required_always_lets_pass_and_reserves_nothing(opened, lossy):
    log = opened(lossy.path, queue=1)
    assert all(log.reserve() for _ in range(10))
    log.release()
    log.record(PERMIT)
    assert log.reserve()
    assert not any(log.dropped.values())


def test_a_required_log_without_room_denies_the_call(lossy, opened):
    log = opened(lossy.path, queue=1, required=True)
    pep = EnforcementPoint(StaticEngine(permit()), record=log)
    assert not pep.decide(PERMIT.request).denied
    assert pep.decide(PERMIT.request).denied
