"""Whether a long run stays as it began: memory, file descriptors, speed, files on the disk.

    python benchmarks/soak.py --minutes 50 --out logs/soak.json [-- train.py options]
    python benchmarks/soak.py --from logs/soak.json --page docs/reliability.md

A real run of train.py on stage 1-1, two workers and the evaluation, is looked at every few seconds
from outside. After the warm-up, the first quarter of the time is compared with the last. The exit
status is 0 if nothing grew and nothing slowed down, 1 otherwise. As many videos as a run keeps are
put into its folder at the start, so that each new one has to push an old one out.

The machine may do other work besides: speed is judged per second of processor time that the
workers got. The second command tells again what a soak saw, and renews the table in the page.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mario_a3c.checkpoint import CheckpointError
from mario_a3c.files import TEMPORARY
from mario_a3c.tables import renew_table
from mario_a3c.training.processes import stop_with_parent
from mario_a3c.training.recording import KEEP as VIDEOS_KEPT
from mario_a3c.training.resume import load_state, states

WORKERS = 2
OPTIONS = (
    *("--world", "1", "--stage", "1", "--num-processes", str(WORKERS), "--run-name", "run"),
    *("--no-until-solved", "--num-global-steps", "1e12"),
    *("--save-interval", "60", "--video-interval", "1"),
)
MEMORY_MAY_GROW, SPEED_MAY_FALL = 0.03, 0.10
"""Shares of the first quarter's median by which the last quarter's may differ."""
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Look:
    """What was seen of one process.

    Attributes:
        pid: its number.
        resident: memory in MiB, shared pages counted in full (RSS).
        proportional: memory in MiB, shared pages divided among those who share them (PSS).
        descriptors: open file descriptors.
        seconds: of processor time used so far.
    """

    pid: int
    resident: float
    proportional: float
    descriptors: int
    seconds: float


@dataclass(frozen=True)
class Sample:
    """What was seen of the whole run at one moment.

    Attributes:
        time: seconds since all workers had made steps.
        others: seconds of processor time that everything else has used, on all cores.
        steps: agent steps so far, of each worker.
        processes: by their names.
        files: number of resume states, videos and half-written files in the run's folder.
        size: of the run's folder, in MiB.
    """

    time: float
    others: float
    steps: list[int]
    processes: dict[str, Look]
    files: dict[str, int]
    size: float


def main() -> int:
    """Train, look on, print what was seen; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--minutes", type=float, default=45.0, help="how long, the warm-up included"
    )
    parser.add_argument("--warm-up", type=float, default=5.0, help="minutes that do not count")
    parser.add_argument("--every", type=float, default=10.0, help="seconds between two looks")
    parser.add_argument("--out", type=Path, help="file for everything that was seen, as JSON")
    parser.add_argument("--from", dest="record", type=Path, help="tell what such a file says")
    parser.add_argument("--page", type=Path, help="page whose table of the soak is renewed")
    parser.add_argument("options", nargs="*", help="further options of train.py, after --")
    arguments = parser.parse_args()
    if arguments.record is not None:
        samples, end = read_record(arguments.record)
    else:
        samples, end = soak(60 * arguments.minutes, arguments.every, arguments.options)
    if arguments.out is not None:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        record = {"end": end, "samples": [asdict(sample) for sample in samples]}
        arguments.out.write_text(json.dumps(record), "utf-8")
    text, good = account(samples, end, 60 * arguments.warm_up)
    print(text)
    if arguments.page is not None:
        renew_table(arguments.page, "soak", text)
    return 0 if good else 1


def soak(
    seconds: float,
    every: float,
    options: Sequence[str],
    program: Sequence[str] = ("train.py",),
) -> tuple[list[Sample], dict[str, Any]]:
    """Train for so many seconds and return what was seen, and how it ended.

    Args:
        seconds: from the first steps of all workers on.
        every: seconds between two looks.
        options: further options of train.py.
        program: what Python is given to run.
    """
    with tempfile.TemporaryDirectory() as logs:
        command = [sys.executable, *program, *OPTIONS, "--log-path", logs, "--saved-path", logs]
        run = subprocess.Popen(
            [*command, *options],
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=stop_with_parent,
        )
        folder = Path(logs, "run")
        try:
            samples, seen = watch(run, folder, seconds, every)
            run.terminate()
            status = run.wait(120)
        finally:
            if run.poll() is None:
                os.killpg(run.pid, signal.SIGKILL)
        return samples, {"status": status, "broken": broken_files(folder), "seen": seen}


def read_record(path: Path) -> tuple[list[Sample], dict[str, Any]]:
    """Return what `--out` kept of a soak."""
    record = json.loads(path.read_text("utf-8"))
    samples = []
    for sample in record["samples"]:
        processes = {name: Look(**fields) for name, fields in sample["processes"].items()}
        samples.append(Sample(**{**sample, "processes": processes}))
    return samples, record["end"]


def watch(
    run: subprocess.Popen[bytes], folder: Path, seconds: float, every: float
) -> tuple[list[Sample], dict[str, int]]:
    """Look at a run for so many seconds, from the first steps of all its workers on.

    Returns:
        what was seen, and how many different resume states and videos there were in all.
    """
    samples: list[Sample] = []
    names: dict[str, set[str]] = {"states": set(), "videos": set()}
    while run.poll() is None and not folder.is_dir():
        time.sleep(0.1)
    put_old_videos(folder)
    while run.poll() is None and not all_have_begun(folder):
        time.sleep(0.1)
    begun = time.monotonic()
    while run.poll() is None and time.monotonic() - begun < seconds:
        time.sleep(every)
        try:
            samples.append(take_sample(run.pid, folder, time.monotonic() - begun))
        except (OSError, ValueError):  # a process has just ended, or another takes its place
            continue
        names["states"] |= {path.name for path in states(folder)}
        names["videos"] |= {path.name for path in folder.glob("videos/*.mp4")}
    return samples, {kind: len(found) for kind, found in names.items()}


def all_have_begun(folder: Path) -> bool:
    """Return whether every worker of a run has made steps."""
    try:
        return all(json.loads((folder / "status.json").read_text("utf-8"))["worker_steps"])
    except (OSError, ValueError):
        return False


def put_old_videos(folder: Path) -> None:
    """Put as many videos into a run's folder as a run keeps, older than any of its own."""
    (folder / "videos").mkdir(parents=True, exist_ok=True)
    for index in range(VIDEOS_KEPT):
        (folder / "videos" / f"step-000000000-old-{index:02d}.mp4").touch()


def take_sample(parent: int, folder: Path, now: float) -> Sample:
    """Look at all processes of a run and at its folder.

    Raises:
        OSError: something that should be there is not.
    """
    status = json.loads((folder / "status.json").read_text("utf-8"))
    processes = {name: look(pid) for name, pid in family(parent).items()}
    files = {
        "states": len(states(folder)),
        "videos": len(list(folder.glob("videos/*.mp4"))),
        "half-written": len(list(folder.rglob(f"*{TEMPORARY}"))),
    }
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    ours = sum(process.seconds for process in processes.values())
    return Sample(
        now, busy_seconds() - ours, status["worker_steps"], processes, files, size / 2**20
    )


def family(parent: int) -> dict[str, int]:
    """Return the process numbers of a run by what they do, in the order of their start."""
    spawned = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "stat").read_text().rpartition(")")[2].split()
            spawn = int(words[1]) == parent and b"spawn_main" in (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if spawn:
            spawned.append((int(words[19]), int(entry.name)))
    names = [*(f"worker {index}" for index in range(WORKERS)), "evaluation"]
    return {"parent": parent, **dict(zip(names, (pid for _, pid in sorted(spawned)), strict=True))}


def look(pid: int) -> Look:
    """Look at one process."""
    folder = Path("/proc", str(pid))
    rollup = (line.split() for line in (folder / "smaps_rollup").read_text().splitlines()[1:])
    memory = {words[0]: int(words[1]) / 1024 for words in rollup}
    words = (folder / "stat").read_text().rpartition(")")[2].split()
    return Look(
        pid,
        memory["Rss:"],
        memory["Pss:"],
        len(list((folder / "fd").iterdir())),
        (int(words[11]) + int(words[12])) / TICKS,
    )


def busy_seconds() -> float:
    """Return the time that all cores have been at work, for this machine or for its host."""
    words = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    user, nice, system, _, _, interrupts, soft, stolen = (int(word) for word in words[:8])
    return (user + nice + system + interrupts + soft + stolen) / TICKS


def broken_files(folder: Path) -> list[str]:
    """Return what a run that has ended left behind and should not have."""
    broken = [path.name for path in folder.rglob(f"*{TEMPORARY}")]
    try:
        broken += load_state(folder)[2].values()
    except CheckpointError as error:
        broken.append(str(error))
    return broken


def account(samples: list[Sample], end: dict[str, Any], warm_up: float) -> tuple[str, bool]:
    """Return what was seen, as tables in Markdown with a verdict, and whether all was well."""
    warm = [sample for sample in samples if sample.time >= warm_up]
    if len(warm) < 8:
        return f"Too little was seen; train.py ended with status {end['status']}.", False
    first, last = warm[: len(warm) // 4], warm[-(len(warm) // 4) :]
    lines = [
        f"{platform.machine()}, {os.cpu_count()} cores; {warm[-1].time / 60:.0f} minutes, of which "
        f"the first {warm_up / 60:.0f} do not count; {len(warm)} looks; medians of the first and "
        "the last quarter. Others used "
        f"{rate(warm, lambda sample: sample.others):.2f} cores on average, the workers "
        f"{rate(first, worker_seconds):.2f} in the first quarter and "
        f"{rate(last, worker_seconds):.2f} in the last.",
        "",
        "| process | PSS, MiB | RSS, MiB | file descriptors | |",
        "| --- | --- | --- | --- | --- |",
    ]
    faults = []
    for name in warm[0].processes:
        row = []
        for figure in ("proportional", "resident", "descriptors"):
            before, after = (median_of(part, name, figure) for part in (first, last))
            row.append(f"{before:,.0f} → {after:,.0f}")
            allowed = 1.0 if figure == "descriptors" else 1 + MEMORY_MAY_GROW
            if after > before * allowed:
                faults.append(f"{name}: {figure} grew from {before:,.0f} to {after:,.0f}")
        numbers = len({sample.processes[name].pid for sample in warm})
        row.append("one process throughout" if numbers == 1 else f"{numbers} processes")
        if numbers > 1:
            faults.append(f"{name} was replaced {numbers - 1} times")
        lines.append(f"| {name} | " + " | ".join(row) + " |")
    lines += ["", "| agent steps | first quarter | last quarter | |", "| --- | --- | --- | --- |"]
    for worker in range(WORKERS):
        lines.append(speed_row(f"worker {worker}, a second", first, last, worker_rate(worker)))
    lines.append(speed_row("both, a second", first, last, steps_rate))
    lines.append(speed_row("both, a second of their processor time", first, last, fair_rate))
    if fair_rate(last) < (1 - SPEED_MAY_FALL) * fair_rate(first):
        faults.append(f"speed fell from {fair_rate(first):,.0f} to {fair_rate(last):,.0f}")
    shares = {name: rate(warm, seconds_of(name)) for name in warm[0].processes}
    share = shares["evaluation"] / sum(shares.values())
    lines += ["", f"The evaluation took {share:.1%} of the run's processor time, videos included."]
    lines += ["", "| files | seen in all | most at a time | |", "| --- | --- | --- | --- |"]
    for kind, limit in (("states", 3), ("videos", VIDEOS_KEPT)):
        most = max(sample.files[kind] for sample in warm)
        written = end["seen"][kind]
        lines.append(f"| {kind} | {written} | {most} | {limit} are kept |")
        if most > limit + 1:  # the new one stands there before the oldest goes
            faults.append(f"{most} {kind} at a time")
        if written <= limit:
            faults.append(f"only {written} {kind} were there in all: none had to go")
    lines.append(f"| folder, MiB | | {warm[0].size:,.1f} → {warm[-1].size:,.1f} | |")
    if end["status"] != 128 + signal.SIGTERM:
        faults.append(f"it ended with status {end['status']}")
    faults += end["broken"]
    verdict = (
        "nothing grew, nothing slowed down per second of processor time, nothing was left behind"
    )
    lines += ["", f"Verdict: {'; '.join(faults) or verdict}."]
    return "\n".join(lines), not faults


def median_of(samples: Iterable[Sample], name: str, figure: str) -> float:
    """Return the median of a figure of a process."""
    return statistics.median(getattr(sample.processes[name], figure) for sample in samples)


def rate(samples: list[Sample], figure: Callable[[Sample], float]) -> float:
    """Return by how much a figure grew in a second."""
    first, last = samples[0], samples[-1]
    return (figure(last) - figure(first)) / (last.time - first.time)


def worker_rate(worker: int) -> Callable[[list[Sample]], float]:
    """Return a function for the agent steps of a worker in a second."""
    return lambda samples: rate(samples, lambda sample: sample.steps[worker])


def steps_rate(samples: list[Sample]) -> float:
    """Return the agent steps of all workers in a second."""
    return rate(samples, lambda sample: sum(sample.steps))


def fair_rate(samples: list[Sample]) -> float:
    """Return the agent steps in a second of processor time that the workers got."""
    return steps_rate(samples) / rate(samples, worker_seconds)


def seconds_of(name: str) -> Callable[[Sample], float]:
    """Return a function for the processor time that a process has used."""
    return lambda sample: sample.processes[name].seconds


def worker_seconds(sample: Sample) -> float:
    """Return the processor time that the workers have used."""
    return sum(sample.processes[f"worker {index}"].seconds for index in range(WORKERS))


def speed_row(
    name: str, first: list[Sample], last: list[Sample], figure: Callable[[list[Sample]], float]
) -> str:
    """Return a row of the table of speeds."""
    before, after = figure(first), figure(last)
    change = f"{after / before - 1:+.0%}" if before else ""
    return f"| {name} | {before:,.0f} | {after:,.0f} | {change} |"


if __name__ == "__main__":
    sys.exit(main())
