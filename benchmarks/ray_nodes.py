"""A Ray cluster of several nodes on one machine, each in a network namespace of its own.

    python benchmarks/ray_nodes.py --nodes 2 -- python train.py --env-name CartPole-v1 --ray ADDRESS

starts a head without cores and two nodes with one core each, runs the command at the head with the
cluster's address for ADDRESS, and takes everything down again. ``--delay 5 --rate 1000`` gives
every node a line with so many milliseconds each way and so many Mbit/s. ``--shut`` has every
machine drop packets for ports that docs/cluster.md does not name, and tells how many came (needs
nftables). Needs root, iproute2 and Ray.
With ``--compare SECONDS`` the command is what follows ``train.py``; it is timed on the nodes
and with as many workers in shared memory, in turns, and the steps per second of both are printed.
Each ``--variant="--ray-updates 1"`` is timed on the nodes as well, with these options besides.
Ctrl-C, or SIGTERM to this process, ends the command, and then takes everything down.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

import numpy as np

ROOT = Path(__file__).parent.parent
NETWORK, PORT = "10.213.77", 6379
PREFIX = "a3c"
PORTS = {
    "--node-manager-port": 6380,
    "--object-manager-port": 6381,
    "--min-worker-port": 10002,
    "--max-worker-port": 10999,
}
"""What docs/cluster.md has every machine listen on, and the head on `PORT` besides."""
WALL = f"""
table inet wall {{
    chain input {{
        type filter hook input priority 0; policy drop;
        iif lo accept
        ct state established,related accept
        tcp dport {PORT} accept
        tcp dport {PORTS["--node-manager-port"]} accept
        tcp dport {PORTS["--object-manager-port"]} accept
        tcp dport {PORTS["--min-worker-port"]}-{PORTS["--max-worker-port"]} accept
        counter
    }}
}}
"""
"""A firewall, for nftables, that lets others reach these ports and no others."""
WARM_UP = 20.0
"""Seconds of learning that are not timed."""
BETWEEN = 1.0
"""Seconds between two readings of a run's steps."""
PATIENCE = 120.0
"""Seconds in which a cluster comes up."""
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def _inside(space: str, *words: str) -> list[str]:
    return ["ip", "netns", "exec", space, *words]


@contextlib.contextmanager
def namespaces(asked: argparse.Namespace) -> Iterator[list[str]]:
    """Make a namespace for the head, with a bridge, and one for each node, on a line to it.

    With ``--shut``, each has the firewall `WALL`, and what that dropped is told at the end.
    """
    spaces = [f"{PREFIX}{os.getpid()}-{number}" for number in range(asked.nodes + 1)]
    head = spaces[0]
    made = []
    try:
        for number, space in enumerate(spaces):
            _ip("netns", "add", space)
            made.append(space)
            _ip("-n", space, "link", "set", "lo", "up")
            if asked.shut:
                subprocess.run(_inside(space, "nft", "-f", "-"), input=WALL.encode(), check=True)
            if space == head:
                _ip("-n", head, "link", "add", "bridge", "type", "bridge")
                _ip("-n", head, "link", "set", "bridge", "up")
                _ip("-n", head, "address", "add", f"{NETWORK}.1/24", "dev", "bridge")
                continue
            ours = f"node{number}"
            _ip("-n", space, "link", "add", "eth0", "type", "veth", "peer", ours, "netns", head)
            _ip("-n", head, "link", "set", ours, "master", "bridge", "up")
            _ip("-n", space, "address", "add", f"{NETWORK}.{number + 1}/24", "dev", "eth0")
            _ip("-n", space, "link", "set", "eth0", "up")
            if asked.delay or asked.rate:
                shape = ["netem", "delay", f"{asked.delay}ms"]
                shape += ["rate", f"{asked.rate}mbit"] if asked.rate else []
                for place, line in ((space, "eth0"), (head, ours)):
                    tc = ["tc", "qdisc", "add", "dev", line, "root", *shape]
                    subprocess.run(_inside(place, *tc), check=True)
        yield spaces
    finally:
        if asked.shut:
            print("packets for other ports:", *map(dropped, made), flush=True)
        for space in made:
            _ip("netns", "delete", space)


def dropped(space: str) -> int:
    """Return how many packets the firewall in a namespace has dropped."""
    listing = subprocess.run(_inside(space, "nft", "list", "ruleset"), stdout=subprocess.PIPE)
    counted = re.search(r"counter packets (\d+)", listing.stdout.decode())
    return int(counted[1]) if counted else 0


@contextlib.contextmanager
def cluster(asked: argparse.Namespace) -> Iterator[tuple[str, list[str]]]:
    """Run the cluster of a command line; yields its address and the namespaces, the head's first.

    Each node is a process group of its own, and ends when we do.
    """
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    os.environ |= {"RAY_worker_niceness": "0", "RAY_USAGE_STATS_ENABLED": "0"}
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    address = f"{NETWORK}.1:{PORT}"
    processes: list[subprocess.Popen[bytes]] = []
    with namespaces(asked) as spaces:
        try:
            for number, space in enumerate(spaces):
                processes.append(start_node(space, number, address))
                # One after another: of two that start at once on one machine, one may die of it.
                wait_for_nodes(spaces[0], address, number + 1)
            yield address, spaces
        finally:
            for process in processes:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)
            for process in processes:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(20)
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)


def start_node(space: str, number: int, address: str) -> subprocess.Popen[bytes]:
    """Start Ray in a namespace: the head, number 0, without cores, or a node with one."""
    words = [
        sys.executable,
        "-m",
        "ray.scripts.scripts",
        "start",
        "--block",
        "--disable-usage-stats",
    ]
    words += ["--node-ip-address", f"{NETWORK}.{number + 1}"]
    words += [str(word) for option in PORTS.items() for word in option]
    if number == 0:
        words += ["--head", "--port", str(PORT), "--num-cpus", "0", "--include-dashboard", "false"]
    else:
        words += ["--address", address, "--num-cpus", "1"]
    command = _inside(space, *words)
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    if number == 0:
        wait_for_head(space, address)
    return process


def wait_for_head(space: str, address: str) -> None:
    """Wait until the head takes connections."""
    code = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)"
    for _ in range(int(2 * PATIENCE)):
        command = _inside(space, sys.executable, "-c", code, *address.split(":"))
        if subprocess.run(command, stderr=subprocess.DEVNULL).returncode == 0:
            return
        time.sleep(0.5)
    raise SystemExit(f"ray_nodes: the head did not start within {PATIENCE:.0f} s.")


def wait_for_nodes(space: str, address: str, count: int) -> None:
    """Wait until the head knows of so many nodes, itself included.

    Raises:
        SystemExit: they do not come up.
    """
    code = """
import sys, time, ray
ray.init(address=sys.argv[1], log_to_driver=False)
until = time.monotonic() + float(sys.argv[3])
while sum(node["Alive"] for node in ray.nodes()) < int(sys.argv[2]):
    if time.monotonic() > until:
        sys.exit(1)
    time.sleep(0.5)
"""
    words = [sys.executable, "-c", code, address, str(count), str(PATIENCE)]
    if subprocess.run(_inside(space, *words), stderr=subprocess.DEVNULL).returncode:
        raise SystemExit(f"ray_nodes: not all {count} nodes joined within {PATIENCE:.0f} s.")


def run(command: Sequence[str]) -> int:
    """Run a command to its end, and return its exit status, 128+n if signal n ended it.

    It has all the time that it takes to end after Ctrl-C, which reaches it as it reaches us; a
    SIGTERM, which does not, is passed on. After it, only taking down is left, which nothing that is
    pressed makes faster.
    """
    process = subprocess.Popen(command)

    def go_on_waiting(number: int, _: FrameType | None) -> None:
        if number == signal.SIGTERM:
            process.terminate()

    for number in STOP_SIGNALS:
        signal.signal(number, go_on_waiting)
    status = process.wait()
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    return status if status >= 0 else 128 - status


def take_down(number: int, _: FrameType | None) -> None:
    """End, with the exit status of a signal, and take all down first, however often it comes."""
    for each in STOP_SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise SystemExit(128 + number)


def speed(command: Sequence[str], seconds: float) -> float:
    """Train for so many seconds after a warm-up, and return the agent steps per second.

    Steps are counted a whole rollout at a time, two of which are a tenth of all that is learned in
    a minute. So the speed is the slope of a line through all that was seen, not what lies between
    its two ends.
    """
    seen: dict[float, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        where = ["--log-path", folder, "--saved-path", folder, "--run-name", "run"]
        process = subprocess.Popen([*command, *where], stdout=subprocess.DEVNULL)
        try:
            begun, _ = learned(process, Path(folder) / "run", 1)
            now = begun
            while now < begun + WARM_UP + seconds:
                now, steps = learned(process, Path(folder) / "run", now + BETWEEN)
                if now >= begun + WARM_UP:
                    seen[now] = steps
        finally:
            process.terminate()  # a SIGINT is ignored by what a shell put into the background
            process.wait()
    return float(np.polyfit([*seen], [*seen.values()], 1)[0])


def learned(process: subprocess.Popen[bytes], folder: Path, after: float) -> tuple[float, int]:
    """Wait until a run has steps and is so many seconds old; return its seconds and its steps."""
    while process.poll() is None:
        time.sleep(0.5)
        with contextlib.suppress(OSError, ValueError):
            status = json.loads((folder / "status.json").read_text())
            if status["steps"] and status["seconds"] >= after:
                return status["seconds"], status["steps"]
    raise SystemExit(f"ray_nodes: the training ended by itself with {process.returncode}.")


def compare(options: Sequence[str], seconds: float, arguments: argparse.Namespace) -> None:
    """Time shared memory and the cluster in turns, and print the steps per second of each."""
    train = [sys.executable, str(ROOT / "train.py"), *options, "--no-until-solved"]
    memory: list[float] = []
    nodes: dict[str, list[float]] = {variant: [] for variant in ("", *arguments.variant)}
    for turn in range(1, arguments.rounds + 1):
        count = str(arguments.nodes)
        memory.append(speed([*train, "--num-processes", count], seconds))
        print(f"turn {turn}, shared memory: {memory[-1]:.0f} steps/s", flush=True)
        for variant, figures in nodes.items():
            with cluster(arguments) as (address, spaces):
                command = _inside(spaces[0], *train, "--ray", address, *shlex.split(variant))
                figures.append(speed(command, seconds))
            print(f"turn {turn}, nodes {variant}: {figures[-1]:.0f} steps/s", flush=True)
    for variant, figures in nodes.items():
        share = sum(figures) / sum(memory)
        print(f"nodes {variant}: {share:.0%} of the speed of shared memory")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Run something on a Ray cluster in namespaces.")
    parser.add_argument("--nodes", type=int, default=2)
    parser.add_argument("--delay", type=float, default=0.0, help="milliseconds each way")
    parser.add_argument("--rate", type=float, default=0.0, help="Mbit/s")
    parser.add_argument("--shut", action="store_true", help="drop packets for other ports")
    parser.add_argument("--compare", type=float, metavar="SECONDS")
    parser.add_argument("--variant", action="append", default=[], metavar="OPTIONS")
    parser.add_argument("--rounds", type=int, default=2, help="turns that each of the two has")
    parser.add_argument("command", nargs="+")
    arguments = parser.parse_args()
    if arguments.shut and not shutil.which("nft"):
        parser.error("--shut needs the command nft; install nftables.")
    for number in STOP_SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, take_down)
    if arguments.compare:
        compare(arguments.command, arguments.compare, arguments)
        return
    with cluster(arguments) as (address, spaces):
        words = [address if word == "ADDRESS" else word for word in arguments.command]
        raise SystemExit(run(_inside(spaces[0], *words)))


if __name__ == "__main__":
    main()
