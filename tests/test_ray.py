"""Training on a real Ray cluster of this machine: nodes and actors come, go, and are killed."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.throughput import gpu_memory
from mario_a3c.cluster.child import connect
from mario_a3c.config import RunConfig
from mario_a3c.faults import Notice, RunError
from mario_a3c.learning.flat import FlatParameters
from mario_a3c.learning.model import ActorCritic
from mario_a3c.learning.optim import make_state
from mario_a3c.training.campaign import Campaign
from mario_a3c.training.shared import Shared
from mario_a3c.training.worker import WorkerReport
from tests.alone import spec_of, task_config
from tests.runs import TrainRun, busy, saved_steps, standing

pytestmark = [
    pytest.mark.skipif(find_spec("ray") is None, reason="needs Ray: pip install -e '.[ray]'"),
    pytest.mark.timeout(900),
]
TOKEN = secrets.token_hex(32)
WITHIN = 240.0
"""Seconds that anything may take: a new process imports PyTorch, on a machine that is busy."""
IDLE = 2.0
"""Seconds without any computing after which a worker counts as waiting for an answer."""
SOON = 30.0
"""Seconds within which a node that joins is used, and training goes on after a loss, on a machine
of its own."""


LARGE = (512, 512)
"""Layers with which a push is half a megabyte: Ray sends what is below 0.1 MB with the call itself,
and the pushes of Mario's network, 2.4 MB, through its store of objects, from node to node."""

LEAST_OF_CUDA = 0.15
"""GiB of a GPU's memory that any process takes which computes there, at the least."""


class Run:
    """A run on a cluster, without the trainer: its head in a thread of this process."""

    def __init__(self, config: RunConfig) -> None:
        from mario_a3c.cluster.head import Head

        spec = spec_of(config)
        torch.manual_seed(1)
        weights = FlatParameters(ActorCritic(spec)).values
        state = make_state(config.optimizer, weights)
        self.config, self.sent = config, list[Any]()
        self.shared = Shared.begin(weights, state, 1, 4, config.noop_max)
        self.failure: Exception | None = None
        self.most = 0, 0
        self.head = Head(config, spec, self.shared, 1, self)  # type: ignore[arg-type]
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.head.run()
        except Exception as error:
            self.failure = error

    def send(self, report: Any) -> None:
        self.sent.append(report)

    def notices(self) -> str:
        return "\n".join(report.text for report in self.sent if isinstance(report, Notice))

    def wait(self, condition: Callable[[], bool]) -> float:
        """Wait until something is so, and return the seconds that it took."""
        begun = time.monotonic()
        while not condition():
            assert self.failure is None, self.failure
            assert time.monotonic() - begun < WITHIN, self.notices()
            self.nothing_is_uncounted()
            time.sleep(0.1)
        return time.monotonic() - begun

    def wait_until_idle(self, processes: set[int]) -> None:
        """Wait until none of some processes has computed anything for a while."""
        before, since = -1.0, time.monotonic()

        def idle() -> bool:
            nonlocal before, since
            now = sum(map(computed, processes))
            if now > before:
                before, since = now, time.monotonic()
            return time.monotonic() - since > IDLE

        self.wait(idle)

    def goes_on(self) -> float:
        """Wait until more was learned than what may be under way now; return the seconds."""
        updates, steps = self.shared.updates, self.shared.steps
        return self.wait(lambda: self.shared.updates > updates + 50 and self.shared.steps > steps)

    def nothing_is_uncounted(self) -> None:
        """Fail if the run has fewer steps or updates than before, which it may only have when the
        parameters begin again."""
        now = self.shared.steps, self.shared.updates
        if "they begin again" not in self.notices():
            assert now[0] >= self.most[0], (now, self.most)
            assert now[1] >= self.most[1], (now, self.most)
        self.most = now

    def check(self) -> None:
        """Fail unless all that was learned and counted is sound."""
        config, shared = self.config, self.shared
        assert self.failure is None
        assert shared.weights.isfinite().all()
        rollouts, rest = divmod(shared.steps, config.num_local_steps * config.num_games)
        assert not rest
        updates = shared.updates + shared.dropped
        assert updates == rollouts * config.epochs * config.minibatches > 0

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        self.shared.stop[0] = 1
        self.thread.join(WITHIN)
        assert not self.thread.is_alive()


def with_token(*titles: str) -> set[int]:
    """Return the processes that were started with this test's token, of some titles or all."""
    found = set()
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            title = (folder / "cmdline").read_text() if folder.name.isdigit() else ""
            fits = title.startswith(titles or "")
            if fits and title and TOKEN in (folder / "environ").read_text():
                found.add(int(folder.name))
    return found - {os.getpid()}


def actors(*names: str) -> set[int]:
    """Return the processes of actors of some classes on this test's clusters."""
    return with_token(*(f"ray::{name}" for name in names))


def process_of(actor: str) -> int:
    """Return a process of an actor's class on this test's clusters."""
    return min(actors(actor))


def family(number: int) -> set[int]:
    """Return a process and all that descend from it."""
    parents = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                parents[int(folder.name)] = standing(folder / "stat")[1]
    members = {number}
    while more := {child for child, parent in parents.items() if parent in members} - members:
        members |= more
    return members


def alive(number: int) -> bool:
    """Return whether a process is there and has not ended."""
    try:
        return standing(Path(f"/proc/{number}/stat"))[0] != "Z"
    except OSError:
        return False


def computed(number: int) -> float:
    """Return the seconds that the main thread of a process, which plays and learns, computed."""
    fields = Path(f"/proc/{number}/task/{number}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def stopped(number: int) -> Iterator[None]:
    """Let a process stand still for a while."""
    os.kill(number, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(number, signal.SIGCONT)


def living_nodes() -> set[str]:
    """Return the nodes of the cluster to which this process is connected."""
    import ray

    return {node["NodeID"] for node in ray.nodes() if node["Alive"]}


def on_head(cluster: Any, actor: str) -> bool:
    """Return whether the process of an actor's class is on the cluster's head."""
    raylet = cluster.head_node.all_processes["raylet"][0].process
    return process_of(actor) in family(raylet.pid)


def workers_of(run: Run) -> set[int]:
    """Return the numbers of all workers that have reported a rollout."""
    return {report.worker for report in run.sent if isinstance(report, WorkerReport)}


def remove_nodes(cluster: Any) -> None:
    """Remove all nodes but the head, which other tests may have left."""
    for node in list(cluster.worker_nodes):
        cluster.remove_node(node)


@pytest.fixture(scope="module")
def token() -> Iterator[None]:
    """What clusters and those who join them need to know."""
    before = dict(os.environ)
    os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=TOKEN)
    os.environ.update(RAY_worker_niceness="0", RAY_USAGE_STATS_ENABLED="0")
    forget_token()
    yield
    os.environ.clear()
    os.environ.update(before)
    forget_token()


def forget_token() -> None:
    """Let Ray read the token anew, which it remembers since a test that asked for a cluster."""
    from ray._raylet import AuthenticationTokenLoader  # type: ignore[attr-defined]

    AuthenticationTokenLoader.instance().reset_cache()


@contextlib.contextmanager
def small_cluster(num_cpus: int) -> Iterator[Any]:
    """Run a cluster of one node, the head, with so many cores."""
    from ray.cluster_utils import Cluster  # reads the environment: the token has to be there

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": num_cpus})
    try:
        yield cluster
    finally:
        cluster.shutdown()
        for number, handler in handlers.items():
            signal.signal(number, handler)


@pytest.fixture(scope="module")
def cluster(token: None) -> Iterator[Any]:
    """A head node without cores for workers, to which this process is connected."""
    with small_cluster(num_cpus=0) as cluster, connect(cluster.address):
        yield cluster


@pytest.mark.slow
def test_a_run_uses_nodes_that_join_and_survives_all_that_can_be_lost(cluster):
    config = task_config(
        "CartPole-v1", ray="there", num_processes=8, num_global_steps=1e9, hidden=LARGE
    )
    with Run(config) as run:
        shared = run.shared
        assert 2 * len(shared.weights) > 5e5
        assert on_head(cluster, "Parameters")
        assert shared.steps == 0
        cluster.add_node(num_cpus=1)
        assert run.wait(lambda: shared.updates > 0) < SOON * busy()
        second = cluster.add_node(num_cpus=1)
        assert run.wait(lambda: len(workers_of(run)) == 2) < SOON * busy()

        os.kill(process_of("Worker"), signal.SIGKILL)
        assert run.goes_on() < SOON * busy()
        run.wait(lambda: "another one takes its place" in run.notices())
        run.wait(lambda: len(workers_of(run)) == 3)

        players = actors("Worker")
        earlier = sum(map(computed, players))
        run.goes_on()
        assert sum(map(computed, players)) > earlier
        with stopped(process_of("Parameters")):  # so that all wait for an answer to their push
            run.wait_until_idle(actors("Worker"))
            remover = threading.Thread(target=cluster.remove_node, args=(second, False))
            remover.start()
            run.wait(lambda: len(actors("Worker")) == 1)
        assert run.goes_on() < SOON * busy()
        remover.join()
        run.wait(lambda: "has left the cluster" in run.notices())
        assert "they begin again" not in run.notices()

        killed = time.monotonic()
        os.kill(process_of("Parameters"), signal.SIGKILL)
        run.wait(lambda: "they begin again as of step" in run.notices())
        run.goes_on()
        assert time.monotonic() - killed < SOON * busy()
        assert on_head(cluster, "Parameters")
    run.check()


@pytest.mark.slow
def test_a_node_that_freezes_is_given_up_and_training_goes_on_before_and_after(cluster):
    config = task_config(
        "CartPole-v1", ray="there", num_processes=2, num_global_steps=1e9, hidden=LARGE
    )
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    with Run(config) as run:
        run.wait(lambda: len(workers_of(run)) == 2)
        raylets = [node.all_processes["raylet"][0].process for node in cluster.worker_nodes]
        raylet = next(process for process in raylets if family(process.pid) & actors("Worker"))
        os.kill(raylet.pid, signal.SIGSTOP)  # first: it starts no more processes
        frozen = family(raylet.pid)
        try:
            for number in frozen:
                os.kill(number, signal.SIGSTOP)
            assert run.goes_on() < SOON * busy()
            run.wait(lambda: "was lost with its machine" in run.notices())
            assert run.goes_on() < SOON * busy()
        finally:
            for number in frozen:
                os.kill(number, signal.SIGCONT)
        run.wait(lambda: raylet.poll() is not None)
        # Not before: a child of ours that has ended is there for its workers until we have asked.
        run.wait(lambda: not any(map(alive, frozen)))
        assert run.goes_on() < SOON * busy()
    run.check()


@pytest.mark.slow
def test_ctrl_c_ends_what_a_run_has_started_and_leaves_the_cluster_up(cluster, tmp_path):
    import ray

    class Guest:
        def answer(self) -> str:
            return "still here"

    cluster.add_node(num_cpus=1)
    guest = ray.remote(Guest).options(num_cpus=0).remote()
    assert ray.get(guest.answer.remote()) == "still here"
    ours = partial(actors, "Worker", "Parameters")
    nodes, others = living_nodes(), ours()
    # As in a pod of KubeRay, which says where the cluster is.
    run = TrainRun(tmp_path, "--ray", "auto", environment={"RAY_ADDRESS": cluster.address})
    try:
        run.until_it_trains()
        assert len(ours() - others) == 2
        run.end(signal.SIGINT)
        assert run.process.returncode == 128 + signal.SIGINT
        run.until(lambda: ours() <= others and not run.children())
    finally:
        run.clear()
    assert ray.get(guest.answer.remote()) == "still here"
    assert living_nodes() == nodes


@pytest.mark.slow
def test_a_run_with_a_small_ray_of_its_own_trains_and_ctrl_c_leaves_nothing_of_it(token, tmp_path):
    others = with_token()
    run = TrainRun(tmp_path, "--ray", "local")
    try:
        run.until_it_trains()
        assert with_token() - others
        run.end(signal.SIGINT)
        assert run.process.returncode == 128 + signal.SIGINT
        assert run.saved_steps()[0] > 0
        run.until(lambda: with_token() <= others)
    finally:
        run.clear()


@pytest.mark.slow
def test_a_campaign_on_a_cluster_has_its_turns_there_and_ctrl_c_saves_them(cluster, tmp_path):
    cluster.add_node(num_cpus=1)
    cluster.add_node(num_cpus=1)
    options = ("--engine", "nes-py", "--lstm-size", "8", "--ray", cluster.address)
    run = TrainRun(tmp_path, "--stages", "1-1,1-2", *options, game="")
    folders = [run.folder / "1-1-seed1", run.folder / "1-2-seed1"]
    try:
        run.until(lambda: all(any(saved_steps(folder)) for folder in folders), WITHIN)
        assert not run.ended, run.output
        run.end(signal.SIGINT)
        assert run.process.returncode == 128 + signal.SIGINT
        run.until(lambda: not actors("StageTurn"))
    finally:
        run.clear()
    for folder in folders:
        assert f"{folder.name} has its turn on" in run.output
        assert saved_steps(folder)[0] > 0


@pytest.mark.slow
def test_a_run_whose_head_is_lost_ends_saved_and_is_resumed_on_another_cluster(token, tmp_path):
    with small_cluster(num_cpus=1) as first:
        address = first.address
        run = TrainRun(tmp_path, "--ray", address)
        try:
            run.until_it_trains()
            first.remove_node(first.head_node, allow_graceful=False)
            run.end()
        finally:
            run.clear()
    assert run.process.returncode == 1
    assert f"Ray's head at {address} was lost" in run.output
    assert "another one takes its place" not in run.output
    steps = run.saved_steps()[0]
    with small_cluster(num_cpus=1) as second:
        task = ("--env-name", "tests.broken_games:Game-v0")
        run = TrainRun(tmp_path, "--resume", str(run.folder), "--ray", second.address, *task)
        try:
            run.until_it_says(f"Continuing {run.folder} at step {steps:,}.")
            run.until(lambda: run.saved_steps()[0] > steps)
            run.end(signal.SIGINT)
            assert run.process.returncode == 128 + signal.SIGINT
        finally:
            run.clear()


@pytest.mark.slow
def test_a_run_with_another_token_is_refused_for_it_at_once_and_leaves_no_folder(cluster, tmp_path):
    run = TrainRun(
        tmp_path, "--ray", cluster.address, environment={"RAY_AUTH_TOKEN": secrets.token_hex(32)}
    )
    try:
        run.end()
        assert run.process.returncode == 2
        assert "the token is missing here, or is not the cluster's" in run.output
        assert len(run.lines) <= 2  # ours, and what Ray says of the one question
        assert not run.folder.exists()
    finally:
        run.clear()


def test_a_run_ends_when_its_steps_are_done(cluster):
    cluster.add_node(num_cpus=1)
    config = task_config("CartPole-v1", ray="there", num_processes=1, num_global_steps=1000)
    with Run(config) as run:
        run.thread.join(WITHIN)
    assert run.failure is None
    rollouts = len([report for report in run.sent if isinstance(report, WorkerReport)])
    assert run.shared.steps == rollouts * config.num_local_steps * config.num_games >= 1000


@pytest.mark.slow
def test_workers_share_the_gpu_that_their_node_says_it_has(cluster):
    import ray

    def free() -> float:
        return ray.available_resources().get("GPU", 0.0)

    remove_nodes(cluster)
    cluster.add_node(num_cpus=2, num_gpus=1)
    config = task_config("CartPole-v1", ray="there", num_processes=2, num_global_steps=1e9)
    with Run(dataclasses.replace(config, device="auto")) as run:
        run.wait(lambda: len(workers_of(run)) == 2)
        run.wait(lambda: free() == 0.0)
        found = "finds no CUDA device" not in run.notices()
        assert found == torch.cuda.is_available()
    run.wait(lambda: free() == 1.0)
    run.check()


@pytest.mark.gpu
def test_workers_learn_on_the_gpu_of_their_machine_and_so_do_those_in_their_place(cluster):
    before = gpu_memory()

    def taken() -> float:
        return gpu_memory() - before

    remove_nodes(cluster)
    cluster.add_node(num_cpus=2, num_gpus=torch.cuda.device_count())
    config = task_config("CartPole-v1", ray="there", num_processes=2, num_global_steps=1e9)
    with Run(dataclasses.replace(config, device="auto")) as run:
        run.wait(lambda: len(workers_of(run)) == 2)
        both = taken()
        assert both >= 2 * LEAST_OF_CUDA
        os.kill(process_of("Worker"), signal.SIGKILL)
        run.wait(lambda: taken() < 0.75 * both)
        run.wait(lambda: len(workers_of(run)) == 3)
        assert taken() > 0.75 * both
        run.goes_on()
    run.wait(lambda: taken() < 0.25 * both)
    run.check()


@pytest.mark.slow
def test_a_worker_that_cannot_go_on_ends_the_run_with_its_own_message(cluster):
    cluster.add_node(num_cpus=1)
    with Run(task_config("tests.broken_games:RaisesAtOnce-v0", ray="there", hidden=(8,))) as run:
        run.thread.join(WITHIN)
    assert isinstance(run.failure, RunError)
    assert "no cartridge, 5 times in a row" in str(run.failure)


@pytest.mark.slow
def test_stages_have_their_turns_at_once_and_a_lost_one_goes_on_elsewhere(cluster, tmp_path):
    from mario_a3c.cluster.stages import StageCrew

    remove_nodes(cluster)
    nodes = [cluster.add_node(num_cpus=1) for _ in range(3)]
    options = ["--lstm-size", "8", "--engine", "nes-py", "--save-interval", "5"]
    campaign = Campaign(tmp_path, [(1, 1), (1, 2)], range(1, 2), options)
    record = campaign.records[0]
    said: list[str] = []
    shown: list[set[str]] = []
    lost_on, steps, went_on = list[str](), list[int](), list[set[str]]()
    finished, until = threading.Event(), time.monotonic() + 2 * WITHIN

    def show(current: set[str]) -> None:
        shown.append(current)
        states = [len(list(tmp_path.glob(f"{name}-seed1/resume-*"))) for name in ("1-1", "1-2")]
        places = {turn.record.key: turn.node.id for turn in crew._turns}
        if not lost_on and min(states) >= 2:
            lost_on.append(places[record.key])
            steps.append(record.status["steps"])
            node = next(node for node in nodes if node.node_id == lost_on[0])
            cluster.remove_node(node, allow_graceful=False)
        elsewhere = places.get(record.key) not in (None, *lost_on)
        if lost_on and elsewhere and record.status["steps"] > steps[0]:
            went_on.append(current)
        if went_on or time.monotonic() > until:
            finished.set()

    crew = StageCrew(campaign, 2, False, lambda best, stage: None, said.append)
    crew.run(0.0, 0.05, finished.is_set, show)
    assert went_on
    assert {"1-1-seed1", "1-2-seed1"} in shown
    assert [text.split()[0] for text in said if "it goes on elsewhere" in text] == ["1-1-seed1"]
    assert sum(text.startswith("1-1-seed1 has its turn on") for text in said) >= 2
    assert record.status["steps"] > steps[0]
    assert "Continuing" in campaign.log(record).read_text()
    assert all(record.status["steps"] > 0 for record in campaign.records)
    assert not list(tmp_path.glob("*-again"))
    remove_nodes(cluster)
