r"""How many workers one parameter actor can serve: measured, and simulated from what was measured.

    python benchmarks/ray_ceiling.py --measure [--seconds 20] [--workers 1 2 4]
    python benchmarks/ray_nodes.py --nodes 2 -- \
        python benchmarks/ray_ceiling.py --measure --workers 1 2 --address ADDRESS
    python benchmarks/ray_ceiling.py --draw

Fake workers on a Ray of this machine, or on the nodes of a cluster, push changes of the size of
Mario's network as fast as they can; ``--measure`` notes in docs/ray_ceiling.json how many were
taken a second, and the processor time that the actor needs for each. ``--draw`` lets 1 to 256
workers push to such an actor in a simulation of events, over networks of several speeds, and draws
agent steps a second and staleness, with dots for what real workers came to (``--seen-speed``,
``--seen-staleness``: `ray_nodes.py --compare`, and the curve ``train/staleness`` of a run).
A worker's own speed is ``--steps-per-second``; what it does between two pushes is what `StoreLink`
does.
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import torch

from mario_a3c.config import RunConfig
from mario_a3c.presets import settings_for

MEGABIT = 1e6 / 8
NETWORKS = {"1 Gbit/s": 1000 * MEGABIT, "10 Gbit/s": 10_000 * MEGABIT}
COUNTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
ENOUGH = 0.9
"""Share of the speed that all workers would have alone, below which the actor holds them up."""


class Outcome(NamedTuple):
    """What a number of workers comes to.

    Attributes:
        pushes: a second, of all workers.
        staleness: pushes of others between the weights that a push started from and itself.
    """

    pushes: float
    staleness: float


class _Line:
    """Something that serves one after another."""

    def __init__(self) -> None:
        self._free = 0.0

    def serve(self, arrival: float, seconds: float) -> float:
        """Return when what arrives now has been served."""
        self._free = max(arrival, self._free) + seconds
        return self._free


def simulate(
    workers: int,
    work: float,
    service: float,
    wire: float,
    latency: float = 0.0002,
    pushes: int = 200,
    seed: int = 1,
) -> Outcome:
    """Let workers push to one actor, in events.

    A worker computes, waits for the answer to its last push, sends the next one, and goes on.

    Args:
        workers: how many.
        work: seconds of computing for a push, on average; it varies by a tenth.
        service: seconds that the actor takes for one.
        wire: seconds that its data take through the head's line, in each direction.
        latency: seconds that the network adds.
        pushes: of each worker, of which the first half does not count.
        seed: of the variation.
    """
    generator = random.Random(seed)
    inwards, actor, outwards = _Line(), _Line(), _Line()
    arrivals = [(generator.random() * work, worker, 0) for worker in range(workers)]
    heapq.heapify(arrivals)
    answered = [0.0] * workers  # when the answer to a worker's last push is there
    known, coming = [0] * workers, [0] * workers  # versions: that it computes with, and that come
    version, counted, stale, first, last = 0, 0, 0, 0.0, 0.0
    while arrivals:
        now, worker, done = heapq.heappop(arrivals)
        if now < answered[worker]:  # it waits for its last push
            heapq.heappush(arrivals, (answered[worker], worker, done))
            continue
        started_from, known[worker] = known[worker], coming[worker]
        taken = actor.serve(inwards.serve(now + latency, wire), service)
        if done >= pushes // 2:
            first = first or now
            others = version - started_from - 1  # one of them is its own last push
            counted, stale, last = counted + 1, stale + others, taken
        version += 1
        coming[worker] = version
        answered[worker] = outwards.serve(taken, wire) + latency
        if done + 1 < pushes:
            pause = work * generator.uniform(0.9, 1.1)
            heapq.heappush(arrivals, (now + pause, worker, done + 1))
    return Outcome(counted / (last - first), stale / counted)


def held_up(work: float, service: float, wire: float, most: int) -> int:
    """Return from how many workers on the actor holds them up: ``most``, or fewer.

    Args:
        work: seconds of computing for a push.
        service: seconds that the actor takes for one.
        wire: seconds that its data take through the head's line, in each direction.
        most: workers that it does hold up, while half of them it does not; 0 stays 0.
    """
    least = most // 2
    while most - least > 1:
        count = (least + most) // 2
        slow = simulate(count, work, service, wire).pushes < ENOUGH * count / work
        least, most = (least, count) if slow else (count, most)
    return most


def measure(counts: list[int], seconds: float, cluster: str, half: bool = True) -> dict[str, Any]:
    """Push as fast as fake workers can, and return what was seen.

    Args:
        counts: how many workers there are, one after another.
        seconds: for each of these.
        cluster: address of a running one, on whose other nodes the workers are, or "" for a
            Ray of this machine.
        half: whether vectors cross in half precision.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from mario_a3c.cluster.parameters import Message, Parameters
    from mario_a3c.cluster.ray_store import Address, RayStore
    from mario_a3c.cluster.state import state_of
    from mario_a3c.cluster.wire import pack
    from mario_a3c.training.preparation import network_for
    from mario_a3c.training.trainer import Trainer

    _, settings = settings_for(RunConfig())
    config = RunConfig(**settings, ray_half=half)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(config, network_for(config), Path(folder))
    state = state_of(trainer.shared)

    class Measured(Parameters):
        def seconds(self) -> float:
            return time.process_time()

    class Pusher:
        def push(self, address: Address, number: int, until: float) -> int:
            torch.set_num_threads(1)
            store = RayStore(address)
            first = store.join(number)
            counts = first.counters * 0, first.statistics * 0, first.mastered
            change = pack(torch.randn(len(first.weights.values)) * 1e-4, half)
            count = 0
            while time.time() < until:
                message = Message(first.session, *counts, change=change, updates=24, version=count)
                store.send(message)()
                count += 1
            return count

    if cluster:
        ray.init(address=cluster, log_to_driver=False)
    else:
        # "local", because without it Ray would join whichever cluster was last started here.
        ray.init("local", num_cpus=max(counts), include_dashboard=False, log_to_driver=False)
    here = ray.get_runtime_context()
    on_head = NodeAffinitySchedulingStrategy(here.get_node_id(), soft=False)
    namespace = here.namespace
    rows = []
    for workers in counts:
        name = f"parameters-{workers}"
        options = {"name": name, "num_cpus": 0, "scheduling_strategy": on_head}
        actor = ray.remote(Measured).options(**options).remote(config, state)
        before = ray.get(actor.seconds.remote())
        pushers = [ray.remote(Pusher).options(num_cpus=1).remote() for _ in range(workers)]
        ray.get([pusher.__ray_ready__.remote() for pusher in pushers])
        until = time.time() + seconds
        address = Address(namespace, name)
        calls = [pusher.push.remote(address, i, until) for i, pusher in enumerate(pushers)]
        pushes = sum(ray.get(calls))
        used = ray.get(actor.seconds.remote()) - before
        rows.append({"workers": workers, "pushes": pushes / seconds, "service": used / pushes})
        print(rows[-1], flush=True)
        for handle in (actor, *pushers):
            ray.kill(handle)
    ray.shutdown()
    return {"bytes": (2 if half else 4) * len(state["weights"]), "rows": rows}


def draw(
    measured: dict[str, Any],
    rate: float,
    steps: int,
    output: Path,
    seen: tuple[list[list[float]], list[list[float]]] = ([], []),
) -> None:
    """Simulate 1 to 256 workers, draw what they come to, and print from where on they wait.

    Args:
        measured: what `measure` returned.
        rate: agent steps a second of one worker.
        steps: of a rollout.
        output: the picture.
        seen: numbers of real workers and their steps a second, and numbers of real workers and
            their staleness: drawn as dots.
    """
    mpl.use("agg")
    from matplotlib import pyplot

    service = min(row["service"] for row in measured["rows"])
    updates = 24
    figure, (speed, stale) = pyplot.subplots(1, 2, figsize=(11, 4), layout="constrained")
    ideal = [rate * count for count in COUNTS]
    speed.plot(COUNTS, ideal, "k:", label="no waiting")
    for number, (network, width) in enumerate(NETWORKS.items()):
        for pushes, style in ((1, "-"), (updates, "--")):
            work, wire = steps / rate / pushes, measured["bytes"] / width
            outcomes = [simulate(count, work, service, wire) for count in COUNTS]
            speeds = [outcome.pushes * steps / pushes for outcome in outcomes]
            staleness = [outcome.staleness * updates / pushes for outcome in outcomes]
            label = f"{network}, a push {'per rollout' if pushes == 1 else 'per update'}"
            speed.plot(COUNTS, speeds, style, color=f"C{number}", label=label)
            stale.plot(COUNTS, staleness, style, color=f"C{number}", label=label)
            slow = (n for n, s, i in zip(COUNTS, speeds, ideal, strict=True) if s < ENOUGH * i)
            least = held_up(work, service, wire, next(slow, 0))
            print(f"{label}: held up from {least} workers on" if least else f"{label}: never")
    for axes, dots in zip((speed, stale), seen, strict=True):
        for dot in dots:
            axes.plot(*dot, "ko", label="measured" if dot is dots[0] else None)
    for axes, title in ((speed, "agent steps a second"), (stale, "staleness, updates")):
        axes.set(xscale="log", yscale="log", xlabel="workers", title=title)
        axes.set_xticks(COUNTS, [str(count) for count in COUNTS])
        axes.grid(alpha=0.3)
    speed.legend()
    output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output, dpi=120)
    pyplot.close(figure)


def main() -> int:
    """Measure, or draw from what was measured; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--draw", action="store_true")
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 2, 4])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--address", default="", help="of a running cluster, to measure there")
    parser.add_argument("--steps-per-second", type=float, default=900.0, help="of one worker")
    parser.add_argument("--steps-per-push", type=int, default=2048)
    parser.add_argument("--half", action=argparse.BooleanOptionalAction, default=True)
    dot: dict[str, Any] = {"nargs": 2, "type": float, "action": "append", "default": []}
    parser.add_argument("--seen-speed", metavar=("WORKERS", "STEPS_PER_SECOND"), **dot)
    parser.add_argument("--seen-staleness", metavar=("WORKERS", "UPDATES"), **dot)
    parser.add_argument("--record", type=Path, default=Path("docs/ray_ceiling.json"))
    parser.add_argument("--image", type=Path, default=Path("docs/images/ray.png"))
    arguments = parser.parse_args()
    if arguments.measure:
        found = measure(arguments.workers, arguments.seconds, arguments.address, arguments.half)
        arguments.record.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    if arguments.draw:
        found = json.loads(arguments.record.read_text("utf-8"))
        seen = arguments.seen_speed, arguments.seen_staleness
        draw(found, arguments.steps_per_second, arguments.steps_per_push, arguments.image, seen)
    return 0


if __name__ == "__main__":
    sys.exit(main())
