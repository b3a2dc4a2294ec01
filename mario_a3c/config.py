"""One run as one typed record: every option of ``train.py``, its default and what it means.

The command line is derived from `RunConfig` (see `mario_a3c.cli`), the presets are data
(``presets.toml``), and the resolved record is written into the run's folder and its checkpoints.
"""

from __future__ import annotations

import dataclasses
import math
import os
import types
import typing
from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from mario_a3c.envs.endings import MAX_ACTIONS, STALL_LIMIT
from mario_a3c.envs.engine import ENGINES
from mario_a3c.envs.observation import VIEWS

MARIO = "SuperMarioBros"
ALGORITHMS = ("a3c", "random")
ACTION_SETS = ("right", "simple", "complex", "pipes")
CONV_NETWORKS = ("paper", "wide", "reference")
DEVIATIONS = ("state", "free")
BEGINNING = ("preset", "load_from", "load_from_previous_stage")
"""Settings that say what a run begins with: one that goes on is past that."""
DEVICES = ("auto", "cpu", "cuda")
OPTIMIZERS = ("adam", "rmsprop")
MOST_WORKERS = 1024
PRECISIONS = ("auto", "float32", "bfloat16")
REWARDS = ("ground", "reference")


def view_of(settings: object) -> str:
    """Return the view that an agent's settings tell; those without one are of the screen."""
    return settings.get("view", "screen") if isinstance(settings, dict) else "screen"


class ConfigError(ValueError):
    """Bad input, told in one sentence: what was given, what is allowed."""


def _alias(*names: str) -> Any:
    """Return the tyro annotation that accepts further names for an option."""
    return tyro.conf.arg(aliases=names)


@dataclass(frozen=True)
class RunConfig:
    """Train an agent with asynchronous advantage actor-critic (A3C)."""

    # What is played.

    env_name: Annotated[str, _alias("--env", "--env-id")] = MARIO
    """What to play: SuperMarioBros, or the id of any Gymnasium environment."""
    env_module: str = ""
    """Module that registers the environment, imported first; my_module:MyEnv-v0 does the same."""
    world: int = 1
    """World of Super Mario Bros, 1 to 8."""
    stage: int = 1
    """Stage of that world, 1 to 4."""
    action_type: Annotated[str, _alias("--action-set")] = "simple"
    """Button combinations the agent chooses from: right (5), simple (7), complex (12),
    pipes (8: simple and "down", which leads into pipes)."""
    engine: str = "auto"
    """Emulator: native (fast, compiled at installation), nes-py, or auto: native if it is there."""
    reward: str = "ground"
    """Mario's reward: ground (new ground, finishing, dying) or reference (the classic one)."""
    death_cost: float | None = None
    """What dying takes away in Mario; by default 1.5, as much as 150 pixels of new ground bring, or
    6.5 with --reward reference."""
    display_buttons: bool = False
    """Show the agent in each picture of Mario which buttons it pressed last."""
    view: str = "screen"
    """What it sees of Mario's game: screen (all of it) or close (what is around Mario, who then is
    always at the same place)."""
    max_actions: int = MAX_ACTIONS
    """End an episode that repeats one action for so many decisions."""
    stall_limit: int = STALL_LIMIT
    """End an episode that gains no new ground for so many decisions; 0 never does."""
    stall_terminates: bool = False
    """Expect nothing after an episode that stalls or repeats one action, as after a death;
    otherwise what the critic expects where it stood counts, as if it went on."""
    noop_max: int = 30
    """Begin each training episode with 0 to so many frames of no button, drawn at random."""
    gradual_noops: bool = False
    """Do so only once episodes without them finish the stage, and with those numbers of them that
    fail most. What found ways are used for fades away with that."""

    retry_fraction: float = 0.0
    """Share of the training episodes that begin shortly before a recent failure of the agent; with
    --gradual-noops so often only once those without no-op frames finish."""
    retry_noise: float = 0.0
    """In every second of these, once four did not get past the same failure: the chance, at each
    decision up to it, that a random action begins, which is held for 1 to 8 decisions. It is
    learned where it did better than expected."""
    start_fraction: float = 0.0
    """Share of the training episodes, without those that begin before a failure, that begin
    somewhere along a found way through the stage."""
    start_from: float = 0.0
    """Let them begin in the last part of the way only, from this share of it on: 0.75 for the last
    quarter."""
    imitation_coef: float = 0.0
    """Weight of imitating the found ways."""
    imitation_coef_final: float = 0.0
    """Weight of imitating the found ways at the end, approached linearly like the others."""
    imitation_priority: float = 0.0
    """Imitate what is not learned yet more often: parts of the ways are drawn in proportion to this
    power of their loss. 0 draws all alike."""
    ground_of_ways: bool = False
    """Count only the ground that found ways pass, so that a wrong fork of a maze brings nothing."""
    paths: str = ""
    """Folder of found ways, W-S.jsonl there or in folders below, as python -m mario_a3c.explore
    writes them; without it a run that learns from ways looks for some itself."""

    # What is played, if it is not Mario.

    max_episode_length: int = 0
    """Cut an episode short after so many decisions; 0 leaves it to the task."""
    action_repeat: int = 1
    """Steps of the environment that each action is held for (Atari always holds it for 4)."""
    hide: tuple[int, ...] = ()
    """Elements of the observation that the agent does not get to see, counted from 0."""
    picture_size: int = 84
    """Height and width of Atari's pictures."""
    frame_stack: int = 4
    """Last pictures of Atari that the agent sees at once."""

    # How it learns.

    train: bool = True
    """Train. It changes nothing, since that is what train.py does; play.py plays agents."""
    algorithm: str = "a3c"
    """a3c, or random: actions drawn evenly, nothing learned; the baseline."""
    learning_rate: Annotated[float, _alias("--lr")] = 2.5e-4
    """Step size of the optimizer."""
    learning_rate_final: float | None = None
    """Step size at the end of the run, approached linearly; constant if absent."""
    gamma: float = 0.9
    """Discount of future rewards, between 0 and 1."""
    gae_lambda: Annotated[float, _alias("--tau")] = 1.0
    """Lambda of generalized advantage estimation; 1 is the n-step return of the A3C paper."""
    entropy_coef: Annotated[float, _alias("--beta")] = 0.003
    """Weight of the entropy bonus; below 0 it costs to be undecided, once nothing is explored."""
    entropy_coef_final: float | None = None
    """Weight of the entropy bonus at the end of the run, approached linearly."""
    anneal_steps: float = 0.0
    """Agent steps in which the final values are approached; 0 for the length of the run."""
    anneal_by_completion: bool = False
    """Approach the final values by the square of the share of a worker's episodes from the start of
    the stage that finish, every number of no-op frames alike, or of the share of --anneal-steps
    that are over, whichever is more."""
    value_loss_coef: float = 0.5
    """Weight of the squared error of the critic."""
    max_grad_norm: float = 0.5
    """Longest gradient that is pushed; longer ones are scaled down to it."""
    num_local_steps: Annotated[int, _alias("--num-steps", "--update-freq")] = 64
    """Steps that each game is played between two updates (t_max in the A3C paper)."""
    num_global_steps: Annotated[float, _alias("--total-steps")] = 5e6
    """Agent steps after which the run ends, counted over all workers."""
    max_episodes: Annotated[int, _alias("--max-eps")] = 0
    """Episodes after which the run ends, counted over all workers; 0 for any number."""
    num_processes: Annotated[int, _alias("--num-workers")] = 2
    """Worker processes (local_train)."""
    num_games: Annotated[int, _alias("--games-per-process")] = 8
    """Games that each worker plays side by side."""
    epochs: int = 6
    """Passes over each rollout. One pass and one minibatch is plain A3C."""
    minibatches: int = 4
    """Parts, each with an update of its own, that a pass is cut into."""
    clip_range: float = 0.2
    """How far reuse may move an action's probability ratio from 1 (Schulman et al. 2017)."""
    target_kl: float = 0.0
    """End the passes over a rollout once the policy has moved so far, in nats; 0 never does."""
    sequence_length: int = 16
    """Steps the LSTM is unrolled for in an update; 0 for the whole rollout."""
    normalize_advantages: bool = True
    """Scale the advantages of each rollout to mean 0 and deviation 1."""
    sum_losses: bool = False
    """Sum the loss over the steps as the classic reference does, instead of averaging it."""
    optimizer: str = "adam"
    """adam or rmsprop."""
    shared: bool = True
    """Share the optimizer's moments between the workers; --no-shared gives each its own."""
    reward_scale: float = 1.0
    """Learn from rewards multiplied by this; scores stay as they are, here and below."""
    clip_rewards: bool = False
    """Learn from rewards clipped to -1..1."""
    normalize_rewards: bool = False
    """Learn from rewards divided by the running deviation of the discounted return."""
    normalize_observations: bool = False
    """Bring observations to mean 0 and deviation 1 by running statistics of all workers."""

    # The network.

    network: str = "paper"
    """Convolutions: paper (Mnih et al. 2016), wide (twice the channels) or reference (4x32)."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the dense layers through which observations go that are not pictures."""
    recurrent: bool = True
    """Give the network an LSTM; --no-recurrent leaves it out."""
    lstm_size: int = 256
    """Units of the LSTM."""
    separate: bool = False
    """Give the critic an encoder and an LSTM of its own."""
    deviation: str = "state"
    """Deviation of continuous actions: state (follows from the observation) or free (does not)."""
    precision: str = "auto"
    """Arithmetic of the convolutions: float32, bfloat16, or auto: bfloat16 on a CPU that is fast at
    it."""
    device: str = "auto"
    """Where the networks run: cpu, cuda, or auto: cuda if there is one. A run that is resumed goes
    on where it is then told to."""
    use_gpu: bool = False
    """The same as --device cuda."""

    # Several stages.

    stages: str = ""
    """Train several stages one after another, for example 1-1,1-2,4-*; see docs/stages.md."""
    all_stages: bool = False
    """Train all 32 stages; the same as --stages all."""
    stage_hours: float = 0.25
    """Longest turn of a stage; an unsolved one gets another turn once the others had theirs."""
    stage_turns: int = 0
    """Turns that an unsolved stage gets at most, those of before counted; 0 for any number."""
    num_seeds: int = 1
    """Train every stage with so many seeds, each in turns of its own: --seed and the next ones."""
    warm_start: bool = False
    """Start each stage from the finished agent that gets furthest in it: its own or another's."""

    # Several machines; see docs/cluster.md.

    ray: str = ""
    """Train on a Ray cluster: its address, or local to start one on this machine. Workers fill
    its cores; --num-processes caps them."""
    ray_updates: int = 0
    """Updates that a worker on a cluster makes on its own before it pushes what they changed; 0 for
    those of a rollout, and 1 pushes every gradient into the shared optimizer."""
    ray_ahead: int = 1
    """Pushes that a worker on a cluster has under way while it goes on with older weights; of
    changes that it makes on its own (--ray-updates other than 1) at most one."""
    ray_half: bool = True
    """Send weights and gradients over the network in half precision."""

    # The run.

    seed: int = 1
    """Seed of every random stream of the run."""
    preset: str = ""
    """Named settings to start from, such as reference, the textbook's; other options override them.

    A task with settings of its own (presets.toml) starts from those; none leaves them out.
    """
    log_path: str = "logs"
    """Folder that holds one folder per run: curves, videos, checkpoints."""
    saved_path: Annotated[str, _alias("--save-dir", "--saved-models")] = "saved_models"
    """Folder of finished agents; a run's best agent replaces a worse one of the same task."""
    run_name: str = ""
    """Name of the run's folder; by default made from the task and the time."""
    resume: str = ""
    """Continue a run: its folder, or 'last' for the newest one of this task."""
    load_from_previous_stage: bool = False
    """Start from the weights of the agent of the stage before this one in --saved-path."""
    load_from: str = ""
    """Start from the weights in this checkpoint file."""
    save_interval: float = 120.0
    """Seconds between two checkpoints."""
    keep: int = 3
    """Checkpoints to go on from that are kept, the newest ones; the best agent is kept besides."""
    hang_limit: float = 60.0
    """Seconds that a game may take for one step before its process is ended and replaced."""
    until_solved: bool = True
    """Stop as soon as the task is solved (--solved-evaluations good ones in a row)."""
    solved_score: float | None = None
    """Mean return that makes an evaluation good; Mario's is judged by finished stages instead."""
    hours: float = 0.0
    """End the run, or the campaign over several stages, after so many hours; 0 for no limit."""
    solved_evaluations: int = 2
    """Good evaluations in a row that make a task solved."""
    solved_share: float = 0.8
    """Share of the sampled episodes that must finish a stage of Mario, beside the greedy one, in a
    good evaluation; 0 asks for the greedy one alone."""
    eval_episodes: int = 10
    """Episodes in each evaluation, beside the first one, which is greedy. Those of Mario that may
    be a new best are played twice before the agent is kept."""
    eval_greedy: bool = False
    """Take the likeliest action in all of them, instead of drawing it from the policy."""
    eval_interval: float = 15.0
    """Shortest time in seconds between the beginnings of two evaluations; unless it was good,
    each is followed by a rest of 22 times the processor time it took, or 13 times its video's."""
    average_share: float = 0.0
    """Evaluate and keep the mean of the weights over about this last share of the run's steps, in
    which later ones count more; 0 takes the weights as they are."""
    video_interval: float = 10.0
    """Minutes between two videos when nothing new was achieved; 0 records only achievements."""

    @property
    def is_mario(self) -> bool:
        """Whether the task is Super Mario Bros."""
        return self.env_name == MARIO

    @property
    def task(self) -> str:
        """Name of the task in file names, for example ``mario-1-1`` or ``CartPole-v1``."""
        if self.is_mario:
            return f"mario-{self.world}-{self.stage}"
        name = self.env_id.replace("/", "-")
        return "-".join([name, "hide", *map(str, self.hide)]) if self.hide else name

    @property
    def env_id(self) -> str:
        """The id of the environment, without the module that may stand before it."""
        return self.env_name.rpartition(":")[2]

    @property
    def imports(self) -> str:
        """What names the Python code that the environment comes from, if it is not installed."""
        return self.env_module or (self.env_name if ":" in self.env_name else "")

    @property
    def is_plain_a3c(self) -> bool:
        """Whether each rollout is used once and whole, as in the A3C paper."""
        return self.epochs == 1 and self.minibatches == 1

    @property
    def updates_together(self) -> int:
        """Updates that a worker on a cluster pushes at once."""
        return self.ray_updates or self.epochs * self.minibatches

    @property
    def unroll(self) -> int:
        """Steps in one training sequence; without an LSTM every step stands for itself."""
        return (self.sequence_length or self.num_local_steps) if self.recurrent else 1

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> RunConfig:
        """Build a configuration from `to_dict`'s output, also after it has been through JSON.

        Raises:
            TypeError: for unknown fields and values of another kind.
        """
        lists = {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
        config = cls(**{**fields, **lists})
        for name, hint in typing.get_type_hints(cls).items():
            if not _is_a(getattr(config, name), hint):
                raise TypeError(f"{name} cannot be {getattr(config, name)!r}")
        return config

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values, ready for JSON."""
        return dataclasses.asdict(self)

    def without_places(self) -> RunConfig:
        """Return these settings for others to read: without this machine's folders and addresses.

        Of an agent that was started from, the file's name stays.
        """
        places = ("log_path", "saved_path", "run_name", "resume", "paths", "ray")
        usual = {name: getattr(RunConfig, name) for name in places}
        return dataclasses.replace(self, **usual, load_from=os.path.basename(self.load_from))

    def validate(self) -> None:
        """Raise `ConfigError` for the first value that is out of its range."""
        _within("--world", self.world, 1, 8)
        _within("--stage", self.stage, 1, 4)
        _one_of("--action-type", self.action_type, ACTION_SETS)
        _one_of("--engine", self.engine, ENGINES)
        _one_of("--reward", self.reward, REWARDS)
        _one_of("--view", self.view, VIEWS)
        _one_of("--network", self.network, CONV_NETWORKS)
        _one_of("--algorithm", self.algorithm, ALGORITHMS)
        _one_of("--deviation", self.deviation, DEVIATIONS)
        _one_of("--device", self.device, DEVICES)
        _one_of("--optimizer", self.optimizer, OPTIMIZERS)
        _one_of("--precision", self.precision, PRECISIONS)
        for name in (
            "gamma",
            "gae_lambda",
            "start_fraction",
            "start_from",
            "retry_fraction",
            "retry_noise",
            "solved_share",
            "average_share",
        ):
            _within(option_of(name), getattr(self, name), 0.0, 1.0)
        for name in ("entropy_coef", "entropy_coef_final"):
            if (coef := getattr(self, name)) is not None:
                _within(option_of(name), coef, -0.1, 1.0)
        for name in _POSITIVE:
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ConfigError(
                    f"{option_of(name)} {value} is not allowed: give a number above 0."
                )
        for name in _NOT_NEGATIVE:
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise ConfigError(f"{option_of(name)} {value} is not allowed: give 0 or more.")
        for name, most in _AT_MOST.items():
            value = getattr(self, name)
            if value is not None and value > most:
                raise ConfigError(f"{option_of(name)} {value} is not allowed: give {most} at most.")
        if not all(width > 0 for width in self.hidden):
            raise ConfigError(f"--hidden {self.hidden} is not allowed: give widths above 0.")
        if not self.train:
            raise ConfigError("--no-train is not possible: train.py trains, and play.py plays.")
        if self.hide and self.is_mario:
            raise ConfigError(
                f"--hide is for tasks whose observations are numbers: leave it out with {MARIO}."
            )
        for name in _OF_MARIO:
            if getattr(self, name) != getattr(RunConfig, name) and not self.is_mario:
                raise ConfigError(
                    f"{option_of(name)} is for {MARIO}, and this is {self.env_name}: leave it out, "
                    "or the preset that sets it."
                )
        if self.start_from and not self.start_fraction:
            raise ConfigError(
                f"--start-from {self.start_from} says where episodes begin along a found way, and "
                "--start-fraction 0 that none does: give a number above 0 for it."
            )
        if self.retry_noise and not self.retry_fraction:
            raise ConfigError(
                f"--retry-noise {self.retry_noise} is for episodes that begin before a failure, "
                "and --retry-fraction 0 says that there are none: give a number above 0 for it."
            )
        self._validate_batches()

    def refuse_ignored(self, given: Collection[str], *, atari: bool) -> None:
        """Raise `ConfigError` for the first setting that would change nothing beside the others.

        Runs that were begun with one can be resumed, so that `validate` allows it.

        Args:
            given: the fields whose options were given; presets may set others that do nothing.
            atari: whether the task is an Atari game.
        """
        kind = MARIO if self.is_mario else "Atari" if atari else "Gymnasium's other tasks"
        for name, its in _OF_ONE_KIND.items():
            if name in given and kind != its:
                raise ConfigError(
                    f"{option_of(name)} is for {its}, and this is {self.env_name}: leave it out."
                )
        for name in ("imitation_coef_final", "imitation_priority"):
            if getattr(self, name) and not self.imitation_coef:
                raise ConfigError(
                    f"{option_of(name)} {getattr(self, name)} is for the imitation of ways, and "
                    "--imitation-coef 0 says that there is none: give a number above 0 for it."
                )
        for name in ("num_seeds", "stage_turns", "stage_hours", "warm_start"):
            value, usual = getattr(self, name), getattr(RunConfig, name)
            if value != usual and not (self.stages or self.all_stages):
                option = option_of(name) if value is True else f"{option_of(name)} {value}"
                raise ConfigError(f"{option} is for campaigns: give --stages or --all-stages too.")

    def _validate_batches(self) -> None:
        if self.num_local_steps % self.unroll:
            raise ConfigError(
                f"--sequence-length {self.sequence_length} does not divide --num-local-steps "
                f"{self.num_local_steps}: choose a divisor of it, or 0 for the whole rollout."
            )
        if self.normalize_advantages and self.num_games * self.num_local_steps == 1:
            raise ConfigError(
                "--num-games 1 with --num-local-steps 1 leaves one advantage in a rollout, which "
                "has no deviation: give more of either, or --no-normalize-advantages."
            )
        sequences = self.num_games * self.num_local_steps // self.unroll
        if sequences % self.minibatches:
            raise ConfigError(
                f"--minibatches {self.minibatches} does not divide the {sequences} sequences of a "
                f"rollout ({self.num_games} games x {self.num_local_steps} steps / {self.unroll}): "
                "choose a divisor of that number."
            )


_OF_MARIO = (
    "world",
    "stage",
    "stages",
    "all_stages",
    "stage_turns",
    "num_seeds",
    "warm_start",
    "death_cost",
    "display_buttons",
    "view",
    "stall_terminates",
    "gradual_noops",
    "anneal_by_completion",
    "paths",
    "start_from",
    "start_fraction",
    "imitation_coef",
    "imitation_coef_final",
    "imitation_priority",
    "ground_of_ways",
    "retry_fraction",
    "retry_noise",
)
# Those that a preset may set for a task that does without them.
_OF_ONE_KIND = {
    **dict.fromkeys(
        ("action_type", "engine", "reward", "max_actions", "stall_limit", "noop_max"), MARIO
    ),
    **dict.fromkeys(("picture_size", "frame_stack"), "Atari"),
    "action_repeat": "Gymnasium's other tasks",
}
_POSITIVE = (
    "learning_rate",
    "max_grad_norm",
    "num_local_steps",
    "num_global_steps",
    "num_processes",
    "num_games",
    "num_seeds",
    "epochs",
    "minibatches",
    "clip_range",
    "lstm_size",
    "action_repeat",
    "picture_size",
    "frame_stack",
    "reward_scale",
    "save_interval",
    "keep",
    "hang_limit",
    "solved_evaluations",
    "eval_episodes",
    "eval_interval",
    "max_actions",
    "stage_hours",
)
_NOT_NEGATIVE = (
    "learning_rate_final",
    "value_loss_coef",
    "sequence_length",
    "target_kl",
    "death_cost",
    "imitation_coef",
    "imitation_coef_final",
    "imitation_priority",
    "seed",
    "stall_limit",
    "max_episode_length",
    "max_episodes",
    "noop_max",
    "video_interval",
    "anneal_steps",
    "hours",
    "stage_turns",
    "ray_ahead",
    "ray_updates",
)


# What no machine could do, or no float32 could hold: a state to resume from may ask for anything.
_AT_MOST = {
    "num_processes": MOST_WORKERS,
    "num_games": 4096,
    "num_local_steps": 65_536,
    "epochs": 1000,
    "picture_size": 1024,
    "frame_stack": 64,
    "keep": 10_000,
    "eval_episodes": 10_000,
    "num_seeds": 1000,
    "seed": 2**32 - 1,
    "learning_rate": 1e3,
    "learning_rate_final": 1e3,
    "death_cost": 1e3,
    "noop_max": 255,
    "imitation_priority": 10,
    "max_grad_norm": 1e12,
}


def _is_a(value: object, hint: Any) -> bool:
    """Return whether a value is of the kind that a field's annotation asks for."""
    if isinstance(hint, types.UnionType):
        return any(_is_a(value, part) for part in typing.get_args(hint))
    if typing.get_origin(hint) is tuple:
        return isinstance(value, tuple) and all(_is_a(element, int) for element in value)
    if type(value) is int and abs(value) >= 2**63:
        return False
    return type(value) in (int, float) if hint is float else type(value) is hint


def option_of(field: str) -> str:
    """Return the option of a field, as it stands on a command line."""
    return "--" + field.replace("_", "-")


def _within(option: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ConfigError(f"{option} {value} is not allowed: give {low} to {high}.")


def _one_of(option: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigError(f"{option} {value!r} is unknown: choose from {', '.join(allowed)}.")
