"""Time left is what the parts that have run say, and nothing is said of the others."""

from __future__ import annotations

import pytest

from infoalign_dgl.evaluation.schedule import Part, Schedule


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def planned(clock):
    schedule = Schedule(clock)
    schedule.expect("a mlp", Part("mlp", 1000, 10))
    schedule.expect("b mlp", Part("mlp", 3000, 10))
    schedule.expect("a rf", Part("rf", 50))
    return schedule


def test_time_left_is_the_work_left_at_the_pace_of_its_kind(clock):
    schedule = planned(clock)
    assert schedule.line() == "0 of 21 cells in 0:00:00, 21 not timed yet"
    schedule.begin("a mlp")
    clock.now += 20
    assert schedule.seconds_left() == (0, 21)
    assert schedule.seconds_left(of_running=7.0) == (7.0, 11)  # what the stage itself has shown
    schedule.finish("a mlp")
    assert schedule.seconds_left() == (60, 1)
    assert schedule.line() == "10 of 21 cells in 0:00:20, about 0:01:00 left, 1 not timed yet"
    schedule.begin("b mlp")
    clock.now += 45
    assert schedule.seconds_left() == (15, 1)
    clock.now += 45  # slower than expected: it is due, not less than nothing
    assert schedule.seconds_left() == (0, 1)
    schedule.finish("b mlp")
    schedule.begin("a rf")
    clock.now += 5
    schedule.finish("a rf")
    assert schedule.line() == "21 of 21 cells in 0:01:55"


def test_what_was_there_already_or_failed_says_nothing_of_the_pace(clock):
    schedule = planned(clock)
    schedule.finish("a mlp")
    assert schedule.seconds_left() == (0, 11)
    schedule.begin("b mlp")
    clock.now += 5
    schedule.finish("b mlp", trained=False)
    assert schedule.seconds_left() == (0, 1)
    assert schedule.line() == "20 of 21 cells in 0:00:05, 1 not timed yet"


def test_of_a_part_that_is_half_there_the_other_half_is_timed(clock):
    schedule = planned(clock)
    schedule.begin("a mlp", work=500)
    clock.now += 10
    schedule.finish("a mlp")
    assert schedule.seconds_left() == (60, 1)
    schedule.begin("b mlp", work=300)
    assert schedule.seconds_left() == (6, 1)


def test_what_is_likely_there_takes_no_time_until_it_turns_out_not_to_be(clock):
    schedule = planned(clock)
    schedule.expect("c rf", Part("rf", 0))
    schedule.finish("a rf")
    schedule.begin("a mlp")
    clock.now += 20
    schedule.finish("a mlp")
    assert schedule.seconds_left() == (60, 0)
    schedule.begin("c rf", work=70)
    assert schedule.seconds_left() == (60, 1)
    assert schedule.seconds_left(of_running=5.0) == (65, 0)


def test_a_part_without_work_takes_no_time(clock):
    schedule = planned(clock)
    schedule.begin("a rf", work=0)
    clock.now += 1
    assert schedule.seconds_left() == (0, 20)
