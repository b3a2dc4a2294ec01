"""The child process of a run on a cluster, and its way in: the first place that imports Ray."""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

from mario_a3c.cluster.reach import greet
from mario_a3c.config import MOST_WORKERS, RunConfig
from mario_a3c.faults import RunError, reason
from mario_a3c.learning.spec import ModelSpec
from mario_a3c.monitoring.notices import say
from mario_a3c.training.campaign import Campaign, shown
from mario_a3c.training.processes import STOP_SIGNALS, Interruption
from mario_a3c.training.publish import publish
from mario_a3c.training.shared import Shared

LOCAL = "local"

START = (
    "start Ray on this machine as docs/cluster.md tells, and give the address that ray start prints"
)
TOKEN = (
    "the token is missing here, or is not the cluster's: copy ~/.ray/auth_token from the head to "
    "the same place on this machine, or set RAY_AUTH_TOKEN to what it holds"
)
NO_TOKEN = "the cluster asks for a token: take RAY_AUTH_MODE=disabled out of the environment"
VERSIONS = "install the same Ray and the same Python here and there"


def run_cluster(
    config: RunConfig, spec: ModelSpec, shared: Shared, seed: int, connection: Connection
) -> None:
    """Train on a cluster: the work of the one child that takes the workers' place.

    Args:
        config: the run.
        spec: the network.
        shared: in shared memory, with one row of counters and statistics.
        seed: from which those of the workers are made.
        connection: takes what the workers report.

    Raises:
        RunError: there is no such cluster, or the run cannot go on.
    """
    with connect(config.ray):
        from mario_a3c.cluster.head import Head

        Head(config, spec, shared, seed, connection).run()


def run_on_cluster(campaign: Campaign, config: RunConfig, interruption: Interruption) -> None:
    """Train the stages of a campaign on a cluster.

    Args:
        campaign: the stages.
        config: what the command line asks for.
        interruption: ends the campaign, saved, when it turns true; a second one does so at once.

    Raises:
        RunError: there is no such cluster, or no run can be started on it.
    """
    capped = config.num_processes < MOST_WORKERS
    cores = config.num_processes if capped else RunConfig().num_processes
    saved = Path(config.saved_path)

    def keep(best: Path, name: str) -> None:
        target = saved / f"mario-{name}.safetensors"
        if best.exists():
            try:
                publish(best, target)
            except OSError as error:
                say(f"{best} could not be copied to {target}: {error.strerror}.")

    with connect(config.ray), shown(campaign) as show:
        from mario_a3c.cluster.stages import StageCrew

        crew = StageCrew(campaign, cores, config.device != "cpu", keep, say)
        hours = config.hours, config.stage_hours
        crew.run(*hours, lambda: bool(interruption), show, lambda: interruption.insisted)


def check_cluster(address: str) -> None:
    """Raise `RunError` if a run on a cluster could not be started: there is none, or it is shut."""
    if address != LOCAL:
        with connect(address):
            pass


def _reach(address: str) -> None:
    """Ask once at an address whether Ray is there and lets us in, before Ray asks again and again.

    Of ``auto``, where this machine is part of no cluster, Ray itself says so at once.

    Raises:
        OSError: nothing answers, or something else does.
        ValueError: it is no address.
        AuthenticationError: the token is missing, or another one.
    """
    from ray._private.authentication.authentication_token_setup import ensure_token_if_auth_enabled
    from ray._private.services import canonicalize_bootstrap_address
    from ray._raylet import GcsClient  # type: ignore[attr-defined]

    place = canonicalize_bootstrap_address(address)
    if place is None:
        return
    greet(place)
    ensure_token_if_auth_enabled(create_token_if_missing=False)  # without one, the next would abort
    GcsClient(address=place)


@contextmanager
def connect(address: str) -> Iterator[None]:
    """Be connected to a cluster; one that was started here ends with it.

    Ray runs code for anyone who reaches it, so a token is asked for unless the environment says
    ``RAY_AUTH_MODE=disabled``. A cluster that is started here gets a token of its own.

    Args:
        address: ``local``, or where a cluster runs that this machine is part of.

    Raises:
        RunError: there is none, or it does not let us in.
    """
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address == LOCAL:
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        # Ray would run the workers at 15, behind everything else on the machine.
        os.environ.setdefault("RAY_worker_niceness", "0")
    import ray
    from ray.exceptions import AuthenticationError

    options = {"include_dashboard": False} if address == LOCAL else {}
    handlers = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    try:
        _reach(address)
        ray.init(address, log_to_driver=False, logging_level="ERROR", **options)
    except (OSError, RuntimeError, ValueError, AuthenticationError) as error:
        text = reason(error).strip().splitlines() or [type(error).__name__]
        hint = START
        if text[0].startswith("Version mismatch"):
            hint, text = VERSIONS, [" ".join(line.strip() for line in text)]
        elif isinstance(error, AuthenticationError):
            hint = NO_TOKEN if os.environ["RAY_AUTH_MODE"] == "disabled" else TOKEN
            text = text[0].split(". ")  # the rest is advice, and ours is shorter
        raise RunError(
            f"--ray {address} is not possible ({text[0].rstrip('.')}); {hint}"
        ) from error
    try:
        for number, handler in handlers.items():
            signal.signal(number, handler)  # Ray has put some of its own in their place
        yield
    finally:
        ray.shutdown()
