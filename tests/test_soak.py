"""The soak: what it calls well and what not, on looks made up by hand, and a short real one."""

from __future__ import annotations

import dataclasses
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from benchmarks import soak
from benchmarks.soak import Look, Sample, account, look
from mario_a3c.training.recording import KEEP as VIDEOS_KEPT

NAMES = ("parent", "worker 0", "worker 1", "evaluation")
END: dict[str, Any] = {
    "status": 128 + signal.SIGTERM,
    "broken": [],
    "seen": {"states": 40, "videos": 40},
}


def looks(change: Callable[[Sample, float], Sample] = lambda sample, share: sample) -> list[Sample]:
    """Return 100 looks, 10 s apart, at a run that stays as it is; ``share`` goes from 0 to 1."""
    samples = []
    for n in range(100):
        time = 10.0 * n
        processes = {
            name: Look(pid, 900.0, 600.0, 16, 0.9 * time) for pid, name in enumerate(NAMES)
        }
        files = {"states": 3, "videos": VIDEOS_KEPT, "half-written": 0}
        steps = [int(1000 * time), int(1000 * time)]
        samples.append(change(Sample(time, 0.0, steps, processes, files, 45.0), n / 99))
    return samples


def test_a_run_that_stays_as_it_is_is_well() -> None:
    text, good = account(looks(), END, warm_up=100.0)
    assert good
    assert "nothing grew, nothing slowed down" in text
    assert "The evaluation took 25.0% of the run's processor time" in text


def look_changed(name: str, **figures: Callable[[float], Any]) -> Callable[[Sample, float], Sample]:
    """Return what changes some figures of one process as time goes by."""

    def change(sample: Sample, share: float) -> Sample:
        new = {key: value(share) for key, value in figures.items()}
        changed = dataclasses.replace(sample.processes[name], **new)
        return dataclasses.replace(sample, processes={**sample.processes, name: changed})

    return change


def slower(sample: Sample, share: float) -> Sample:
    return dataclasses.replace(
        sample, steps=[int(steps * (1 - 0.2 * share)) for steps in sample.steps]
    )


def more_states(sample: Sample, share: float) -> Sample:
    return dataclasses.replace(sample, files={**sample.files, "states": 3 + int(3 * share)})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            look_changed("worker 1", resident=lambda share: 900 + 60 * share),
            "worker 1: resident grew",
        ),
        (look_changed("parent", proportional=lambda s: 600 + 60 * s), "parent: proportional grew"),
        (look_changed("evaluation", descriptors=lambda s: 16 + int(2 * s)), "descriptors grew"),
        (look_changed("worker 0", pid=lambda share: int(2 * share) + 7), "worker 0 was replaced"),
        (slower, "speed fell"),
        (more_states, "states at a time"),
    ],
)
def test_what_grows_slows_down_or_is_replaced_is_told(
    change: Callable[[Sample, float], Sample], told: str
) -> None:
    text, good = account(looks(change), END, warm_up=100.0)
    assert not good
    assert told in text.rpartition("Verdict: ")[2]


@pytest.mark.parametrize(
    ("end", "told"),
    [
        ({"status": 1}, "it ended with status 1"),
        ({"broken": ["resume-1.safetensors"]}, "resume-1.safetensors"),
        ({"seen": {"states": 3, "videos": 40}}, "only 3 states were there in all"),
    ],
)
def test_an_end_that_is_not_clean_and_files_that_do_not_rotate_are_told(
    end: dict[str, Any], told: str
) -> None:
    text, good = account(looks(), {**END, **end}, warm_up=100.0)
    assert not good
    assert told in text


def test_too_few_looks_say_nothing() -> None:
    assert not account(looks()[:5], END, warm_up=0.0)[1]


LEAKS = """
import os
leak = []
while True:
    print(flush=True)
    input()
    leak += [b"x" * 2**26, os.open("/", os.O_RDONLY)]
"""


def test_a_process_that_leaks_is_seen_to_grow() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", LEAKS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        before = look(process.pid)
        print(file=process.stdin, flush=True)
        process.stdout.readline()
        after = look(process.pid)
        process.kill()
    assert 60 < after.resident - before.resident < 70
    assert 60 < after.proportional - before.proportional < 70
    assert after.descriptors == before.descriptors + 1


SMALL = (
    *("--lstm-size", "8", "--num-games", "2", "--num-local-steps", "32", "--epochs", "1"),
    *("--minibatches", "1", "--max-episode-length", "30", "--imitation-coef", "0"),
    *("--start-fraction", "0", "--eval-episodes", "1", "--eval-interval", "1"),
    *("--save-interval", "1", "--video-interval", "0.02"),
)


TALKATIVE = (
    "-c",
    "from mario_a3c.training import trainer; trainer.CURVE_INTERVAL = 0.25\n"
    "from mario_a3c.cli import main; raise SystemExit(main())",
)
"""Instead of train.py: it tells its steps more often than every five seconds."""


def test_a_short_soak_of_a_small_run_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    # So short a time shows only what grows or slows down fast, and what does not rotate.
    monkeypatch.setattr(soak, "MEMORY_MAY_GROW", 0.15)
    monkeypatch.setattr(soak, "SPEED_MAY_FALL", 0.75)
    samples, end = soak.soak(12.0, 0.25, SMALL, TALKATIVE)
    text, good = account(samples, end, warm_up=4.0)
    assert good, text


def test_workers_that_stand_still_are_told() -> None:
    def still(sample: Sample, share: float) -> Sample:
        return dataclasses.replace(sample, steps=[7, 7])

    assert "| both, a second | 0 | 0 |  |" in account(looks(still), END, warm_up=100.0)[0]
