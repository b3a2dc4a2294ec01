"""Child processes: heard to their last word, replaced when they die, gone when their parent is."""

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing import Pipe, Process
from pathlib import Path
from typing import Any

import pytest

from mario_a3c.faults import RunError
from mario_a3c.training.children import MOST_DEATHS, Child, Children, seconds_that_count
from tests import deeds

ROOT = Path(__file__).parent.parent
NOTICED_WITHIN = 5.0
GONE_WITHIN = 10.0


class Family(Children):
    """Children whose reports are kept."""

    def __init__(self) -> None:
        self.reports: list[Any] = []
        self.said: list[str] = []
        super().__init__(self.reports.append)

    def until(self, condition: Callable[[], bool], seconds: float = 60.0) -> float:
        """Listen until something holds; return how long that took."""
        begun = time.monotonic()
        while not condition():
            assert time.monotonic() - begun < seconds
            self.listen(0.1)
            self.replace_dead(self.said.append)
        return time.monotonic() - begun


@pytest.fixture
def family() -> Iterator[Family]:
    family = Family()
    yield family
    family.stop(lambda _: 0.0, lambda: True)


def start(family: Family, name: str, target: Callable[..., None], *arguments: Any) -> None:
    family.start(name, target, lambda: arguments)


def exists(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_a_killed_child_is_noticed_named_and_replaced_within_seconds(family):
    start(family, "worker 7", deeds.report_and_wait, "here")
    start(family, "worker 8", deeds.report_and_wait, "there")
    family.until(lambda: len(family.reports) == 2)
    killed = family["worker 7"].process.pid
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    assert family.until(lambda: bool(family.said)) < NOTICED_WITHIN
    assert family.said == ["worker 7 was killed by SIGKILL; another one takes its place."]
    family.until(lambda: len(family.reports) == 3)
    assert family.reports[2] == "here"
    assert family["worker 7"].process.pid != killed


def test_all_that_a_child_said_before_it_was_killed_is_heard(family):
    start(family, "worker 0", deeds.report_and_die, "word")
    family.until(lambda: bool(family.said))
    assert family.reports[:50] == [f"word {number}" for number in range(50)]


def test_a_child_that_is_killed_in_the_middle_of_a_message_does_not_hold_its_parent_up(family):
    start(family, "worker 0", deeds.die_while_reporting)
    family.until(lambda: bool(family.said))
    assert family.reports[0] == "whole"
    assert "half" not in str(family.reports)


def test_a_child_that_fails_by_a_mistake_is_replaced_and_says_which(family):
    start(family, "worker 0", deeds.raise_error, "no such thing")
    family.until(lambda: bool(family.said))
    assert family.said[0].startswith("worker 0 failed: ValueError: no such thing; another")
    assert "raise_error" in family.last_trace


def test_a_child_that_ends_unasked_is_replaced(family):
    start(family, "worker 0", deeds.report_and_return, "bye")
    family.until(lambda: bool(family.said))
    assert family.said[0].startswith("worker 0 ended unasked with status 0")


def test_what_another_child_would_die_of_too_ends_the_run_with_the_cause(family):
    start(family, "worker 0", deeds.raise_run_error, "the environment is out of order")
    with pytest.raises(RunError, match=r"^worker 0: the environment is out of order\.$"):
        family.until(lambda: False)
    assert family.said == []


def test_children_that_keep_dying_end_the_run_with_the_last_cause(family):
    start(family, "worker 0", deeds.raise_error, "again")
    with pytest.raises(RunError, match=r"died 6 times within 10 minutes; .*ValueError: again\.$"):
        family.until(lambda: False)
    assert len(family.said) == MOST_DEATHS


def test_a_child_that_is_ended_for_a_reason_is_replaced_with_that_reason(family):
    start(family, "worker 0", deeds.report_and_wait, "here")
    family.until(lambda: len(family.reports) == 1)
    family.kill("worker 0", "its environment hung")
    family.until(lambda: bool(family.said))
    assert family.said[0].startswith("worker 0 was ended: its environment hung; another")


@pytest.mark.parametrize("hang_limit", [1.0, 60.0, 300.0, 3600.0])
def test_a_child_that_hangs_again_and_again_ends_the_run_whatever_the_hang_limit_is(
    hang_limit, monkeypatch
):
    clock = [0.0]
    monkeypatch.setattr("mario_a3c.training.children.time.monotonic", lambda: clock[0])
    family = Children(print, hang_limit)
    monkeypatch.setattr(family, "start", lambda *_: None)  # it hangs as well
    pipe, _ = Pipe(duplex=False)
    dead = Child("worker 0", deeds.report_and_return, tuple, Process(), pipe, ended=True)
    family._children["worker 0"] = dead
    said: list[str] = []
    for _ in range(MOST_DEATHS):
        clock[0] += 1.5 * hang_limit
        family.replace_dead(said.append)
    clock[0] += 1.5 * hang_limit
    with pytest.raises(RunError, match=r"^Processes died 6 times within \d+ minutes; "):
        family.replace_dead(said.append)


def test_deaths_long_ago_do_not_count():
    assert seconds_that_count(1.0) == seconds_that_count(60.0) == 600.0
    assert seconds_that_count(90.0) == 900.0


def test_stopping_ends_who_does_not_finish_in_time_and_takes_what_others_say(family):
    start(family, "slow", deeds.report_and_wait, "never done")
    start(family, "quick", deeds.report_and_return, "done")
    begun = time.monotonic()
    family.stop(lambda name: 30.0 if name == "quick" else 0.0, lambda: "done" in family.reports)
    assert time.monotonic() - begun < GONE_WITHIN
    assert "done" in family.reports
    assert not family["slow"].process.is_alive()
    assert not family["quick"].process.is_alive()


def test_signals_of_the_terminal_reach_the_parent_only_even_while_a_child_starts(family):
    start(family, "worker 0", deeds.report_signals)
    process = family["worker 0"].process.pid
    assert process is not None
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in numbers:  # it is still being started
        os.kill(process, number)
    family.until(lambda: len(family.reports) == 2)
    for number in numbers:
        os.kill(process, number)
    family.listen(0.2)
    assert family.reports == [process, "waiting"]
    assert exists(process)


def test_signals_stay_withheld_when_the_first_process_of_all_is_started():
    program = """
from multiprocessing import resource_tracker
from signal import SIG_BLOCK, pthread_sigmask
from mario_a3c.training.processes import STOP_SIGNALS, signals_withheld
with signals_withheld():
    resource_tracker.ensure_running()  # as the start of a process does
    print(set(STOP_SIGNALS) <= pthread_sigmask(SIG_BLOCK, []))
"""
    told = subprocess.run([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE)
    assert told.stdout == b"True\n"


def parent_of_children(words: str) -> subprocess.Popen[str]:
    """Start a process that has children of its own and prints what they say."""
    return subprocess.Popen(
        [sys.executable, "-c", f"from tests.deeds import *; hold_children({words})"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def test_when_the_parent_is_killed_its_children_are_gone_and_leave_nothing_in_shared_memory():
    before = set(os.listdir("/dev/shm"))
    parent = parent_of_children("2")
    assert parent.stdout is not None
    lines = [parent.stdout.readline().strip() for _ in range(4)]
    numbers = [int(line) for line in lines if line != "waiting"]
    assert len(numbers) == 2
    assert all(exists(number) for number in numbers)
    parent.kill()
    parent.wait()
    begun = time.monotonic()
    while any(map(exists, numbers)) or not set(os.listdir("/dev/shm")) <= before:
        assert time.monotonic() - begun < GONE_WITHIN
        time.sleep(0.05)


def test_a_child_that_hangs_in_foreign_code_is_gone_when_its_parent_is_killed():
    with parent_of_children("1, report_and_hang") as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        begun = processor_time(child)
        while processor_time(child) < begun + 0.1:  # it has begun
            time.sleep(0.01)
        parent.kill()
    killed = time.monotonic()
    try:
        while exists(child):
            assert time.monotonic() - killed < GONE_WITHIN
            time.sleep(0.05)
    finally:
        if exists(child):
            os.kill(child, signal.SIGKILL)


def processor_time(process: int) -> float:
    """Return the seconds that a process has computed."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) / os.sysconf("SC_CLK_TCK")


@pytest.mark.skipif(os.confstr("CS_GNU_LIBC_VERSION") is None, reason="needs the GNU C library")
def test_memory_that_a_child_frees_is_used_again_without_asking_the_system(family):
    start(family, "user", deeds.report_page_faults)
    family.until(lambda: bool(family.reports))
    assert family.reports[0] < deeds.WORKED_WITH / resource.getpagesize() / 100
