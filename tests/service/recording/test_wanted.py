"""What may be asked of a recording, and which frames that means."""

from __future__ import annotations

import pytest
from pydantic import ValidationError
from qpi_live.service.recording.plan import Plan, Verdict
from qpi_live.service.recording.wanted import Wanted, check_name

S = 1_000_000_000


@pytest.mark.parametrize("name", ["run 1", "Zellen-Ä_2", "a", "2026-11-27 10-00-00", "x" * 100, "a.b+c"])
def test_name_that_is_a_folder_everywhere_is_taken(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        *("..", ".hidden", "a/b", "a\\b", "../up", "/etc", "CON", "nul.txt", "com1", "a\0b", "a\nb", "a.", "-rf"),
        *("C:", "a:b", "a*", "a?", 'a"', "<a>", "~", "_trash", "x" * 101, "ä" * 51),
    ],
)
def test_name_that_is_no_folder_somewhere_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="expected a name"):
        check_name(name)


@pytest.mark.parametrize(
    "wanted",
    [
        {"frames": 0},
        {"seconds": -1},
        {"every_s": float("nan")},
        {"layers": []},
        {"layers": ["phase", "phase"]},
        {"layers": ["amplitude"]},
        {"every_s": 10, "seconds": 5},
        {"frame": 3},
        {"file_mb": 5000},
    ],
)
def test_recording_that_makes_no_sense_is_refused(wanted: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Wanted.model_validate(wanted)


def verdicts(wanted: Wanted, times_s: list[float]) -> list[Verdict]:
    plan = Plan(wanted)
    judged = []
    for at_s in times_s:
        judged.append(plan.judge(round(at_s * S)))
        if judged[-1] is Verdict.WRITE:
            plan.wrote(100 * judged.count(Verdict.WRITE))
    return judged


def test_plan_ends_after_the_frames_seconds_or_megabytes_that_were_wanted() -> None:
    write, end = Verdict.WRITE, Verdict.END
    assert verdicts(Wanted(frames=2), [0, 1, 2]) == [write, write, end]
    assert verdicts(Wanted(seconds=1.5), [7, 8, 8.4, 8.5]) == [write, write, write, end]
    assert verdicts(Wanted(megabytes=0.0002), [0, 1, 2]) == [write, write, end]


def test_plan_of_a_time_lapse_takes_the_first_frame_of_each_interval() -> None:
    kept = [
        at for at in range(100) if verdicts(Wanted(every_s=1), [n / 20 for n in range(at + 1)])[-1] is Verdict.WRITE
    ]
    assert kept == [0, 20, 40, 60, 80]


def test_plan_of_a_time_lapse_keeps_to_its_clock_after_frames_that_came_late() -> None:
    assert [verdict is Verdict.WRITE for verdict in verdicts(Wanted(every_s=1), [0, 2.7, 2.9, 3.0, 3.1])] == [
        True,
        True,
        False,
        True,
        False,
    ]
