"""The actor that plays and learns on some machine of a cluster: `local_train`, over a link."""

from __future__ import annotations

import dataclasses
import os
import tempfile
import threading
import time
from pathlib import Path

import torch

from mario_a3c.cluster.link import OWN, StoreLink
from mario_a3c.cluster.ray_store import Address, RayStore
from mario_a3c.config import RunConfig
from mario_a3c.faults import Notice
from mario_a3c.learning.spec import ModelSpec
from mario_a3c.search.ways import ways_file
from mario_a3c.training.processes import keep_freed_memory
from mario_a3c.training.shared import FAULTS
from mario_a3c.training.worker import local_train

WATCH = 1.0


class Worker:
    """One worker.

    Args:
        config: the run.
        spec: the network.
        address: of the parameters.
        number: of this worker; no other of the run has had it.
        seed: of its games and actions.
        gpu: whether it was given a GPU, or a part of one.
        ways: content of the file of ways that it learns from, which this machine does not have.
    """

    def __init__(
        self,
        config: RunConfig,
        spec: ModelSpec,
        address: Address,
        number: int,
        seed: int,
        gpu: bool,
        ways: bytes,
    ) -> None:
        torch.set_num_threads(1)
        keep_freed_memory()
        found = torch.cuda.is_available()
        device = "cuda" if gpu and found else "cpu"
        self._config = dataclasses.replace(config, device=device)
        if ways:
            self._folder = tempfile.TemporaryDirectory(prefix="mario_a3c-")
            ways_file(Path(self._folder.name), config).write_bytes(ways)
            self._config = dataclasses.replace(self._config, paths=self._folder.name)
        self._spec, self._seed = spec, seed
        self._link = StoreLink(RayStore(address), number, config)
        if gpu and not found:
            wrong = "was given a GPU, but its PyTorch finds no CUDA device there"
            self._link.send(Notice(f"worker {number} {wrong}: it learns on the CPU."))

    def work(self) -> None:
        """Train until the run is done.

        Raises:
            RunError: the environment keeps failing, or updates keep being dropped.
        """
        threading.Thread(target=self._watch, name="hang watch", daemon=True).start()
        local_train(self._config, self._spec, self._link, self._seed, self._link)
        self._link.close()

    def _watch(self) -> None:
        """End this process when a game hangs; another one takes its place."""
        limit = self._config.hang_limit
        while True:
            time.sleep(WATCH)
            since = float(self._link.shared.inside[OWN])
            if 0 < since < time.monotonic() - limit:
                self._link.shared.counters[OWN, FAULTS] += 1  # it cannot count any more
                text = f"its environment hung for more than {limit:g} s"
                self._link.send(Notice(f"worker {self._link.worker} was ended: {text}."))
                self._link.close()
                os._exit(1)
