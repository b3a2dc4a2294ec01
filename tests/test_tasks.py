"""Gymnasium's tasks as the learner plays them: plain spaces, final observations, refusals."""

from typing import Any, cast

import gymnasium
import numpy as np
import pytest
from gymnasium import Env, spaces

from mario_a3c.envs.gymnasium_tasks import (
    SMALLEST_GREY,
    ActionRepeat,
    TaskError,
    make_gymnasium_env,
)
from mario_a3c.learning.encoders import smallest_picture


class Scripted(Env[Any, Any]):
    """Episodes of three steps; rewards 1, 2, 3; shows the number of the step; notes actions."""

    def __init__(self, observation=None, action=None, truncated=False):
        self.observation_space = observation or spaces.Box(0, 10, (2, 2), np.float64)
        self.action_space = action or spaces.Discrete(2)
        self._truncated = truncated
        self.actions = []
        self._time = 0

    def _show(self):
        space = self.observation_space
        if isinstance(space, spaces.Discrete):
            return self._time + int(space.start)
        return np.full(space.shape, self._time, dtype=space.dtype)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._time = 0
        return self._show(), {}

    def step(self, action):
        self.actions.append(action)
        self._time += 1
        over = self._time == 3
        return self._show(), self._time, over and not self._truncated, over and self._truncated, {}


@pytest.fixture
def register():
    ids: list[str] = []

    def register_scripted(**settings):
        env_id = f"tests/Scripted{len(ids)}-v0"
        gymnasium.register(env_id, entry_point=cast(Any, Scripted), kwargs=settings)
        ids.append(env_id)
        return env_id

    yield register_scripted
    for env_id in ids:
        del gymnasium.registry[env_id]


def of_first_game(env: Any, name: str) -> Any:
    return env.unwrapped.get_attr(name)[0]


def zeros(env):
    return np.zeros_like(env.action_space.sample())


@pytest.mark.parametrize("truncated", [False, True])
def test_an_ended_episode_shows_its_last_observation_and_its_figures(register, truncated):
    env = make_gymnasium_env(register(truncated=truncated), 2)
    env.reset(seed=0)
    for _ in range(2):
        *_, infos = env.step(zeros(env))
        assert infos == {}
    observation, rewards, terminated, cut, infos = env.step(zeros(env))
    assert rewards.tolist() == [3, 3]
    assert terminated.tolist() == [not truncated] * 2
    assert cut.tolist() == [truncated] * 2
    assert (observation == 0).all()
    assert (np.stack(list(infos["final_obs"])) == 3).all()
    assert infos["final_info"]["episode_return"].tolist() == [6, 6]
    assert infos["final_info"]["episode_length"].tolist() == [3, 3]
    for _ in range(3):
        *_, infos = env.step(zeros(env))
    assert infos["final_info"]["episode_return"].tolist() == [6, 6]


def test_arrays_of_numbers_become_vectors_of_float32_without_what_is_hidden(register):
    env = make_gymnasium_env(register(), 3, hide=(1, 2))
    observation, _ = env.reset(seed=0)
    assert observation.shape == (3, 2)
    assert observation.dtype == np.float32
    assert env.single_observation_space.shape == (2,)


def test_hiding_pendulums_velocity_leaves_its_direction():
    whole, hidden = (
        make_gymnasium_env("Pendulum-v1", 2),
        make_gymnasium_env("Pendulum-v1", 2, hide=(2,)),
    )
    np.testing.assert_array_equal(hidden.reset(seed=4)[0], whole.reset(seed=4)[0][:, :2])


def test_numbered_observations_become_one_hot(register):
    env = make_gymnasium_env(register(observation=spaces.Discrete(4, start=3)), 2)
    assert env.reset(seed=0)[0].tolist() == [[1, 0, 0, 0]] * 2
    assert env.step(zeros(env))[0].tolist() == [[0, 1, 0, 0]] * 2


def test_pictures_get_their_channels_first(register):
    env = make_gymnasium_env(register(observation=spaces.Box(0, 255, (40, 50, 3), np.uint8)), 2)
    observation, _ = env.reset(seed=0)
    assert observation.shape == (2, 3, 40, 50)
    assert observation.dtype == np.uint8


def test_grey_pictures_without_a_channel_get_one(register):
    env = make_gymnasium_env(register(observation=spaces.Box(0, 255, (40, 50), np.uint8)), 2)
    env.reset(seed=0)
    observation, *_ = env.step(zeros(env))
    assert observation.shape == (2, 1, 40, 50)
    assert observation.dtype == np.uint8
    assert (observation == 1).all()


@pytest.mark.parametrize(
    "space",
    [spaces.Box(0, 255, (19, 40), np.uint8), spaces.Box(0, 5, (40, 40), np.uint8)],
    ids=["small", "of few values"],
)
def test_tables_of_bytes_that_are_no_pictures_are_numbers(register, space):
    env = make_gymnasium_env(register(observation=space), 2)
    observation, _ = env.reset(seed=0)
    assert observation.shape == (2, np.prod(space.shape))
    assert observation.dtype == np.float32


def test_grey_pictures_are_as_large_as_the_convolutions_need():
    assert min(map(smallest_picture, ("paper", "wide"))) == SMALLEST_GREY


def test_actions_reach_the_environment_inside_its_bounds_and_in_its_shape(register):
    low, high = np.array([[-1, 0], [2, -np.inf]]), np.array([[1, 5], [3, np.inf]])
    env = make_gymnasium_env(register(action=spaces.Box(low, high, dtype=np.float64)), 1)
    assert env.single_action_space.shape == (4,)
    env.reset(seed=0)
    generator = np.random.default_rng(0)
    for _ in range(50):
        env.step(generator.normal(scale=10, size=(1, 4)).astype(np.float32))
    taken = np.stack(of_first_game(env, "actions"))
    assert taken.shape == (50, 2, 2)
    assert taken.dtype == np.float64
    assert ((taken >= low) & (taken <= high)).all()
    assert len(np.unique(taken[:, 0, 0])) > 3
    assert np.abs(taken[:, 1, 1]).max() > 10


def test_numbered_actions_count_from_zero_for_the_agent(register):
    env = make_gymnasium_env(register(action=spaces.Discrete(3, start=7)), 1)
    env.reset(seed=0)
    env.step(np.array([2]))
    assert env.single_action_space == spaces.Discrete(3)
    assert of_first_game(env, "actions") == [9]


def test_an_action_is_held_and_its_rewards_add_up_until_the_episode_ends():
    game = Scripted()
    env = ActionRepeat(game, 2)
    env.reset()
    assert env.step(0)[1:4] == (3.0, False, False)
    assert env.step(1)[1:4] == (3.0, True, False)
    assert game.actions == [0, 0, 1]


def test_a_length_limit_cuts_episodes_short_but_never_lengthens_them(register):
    env = make_gymnasium_env(register(), 1, max_episode_length=2)
    env.reset(seed=0)
    env.step(zeros(env))
    _, _, terminated, truncated, infos = env.step(zeros(env))
    assert not terminated[0]
    assert truncated[0]
    assert infos["final_info"]["episode_length"][0] == 2
    longer = make_gymnasium_env("Pendulum-v1", 1, max_episode_length=10**6)
    longer.reset(seed=0)
    cuts = [bool(longer.step(zeros(longer))[3][0]) for _ in range(200)]
    assert cuts == [False] * 199 + [True]


def test_equal_seeds_play_equal_games():
    first, second = (make_gymnasium_env("LunarLander-v3", 3) for _ in range(2))
    for env in (first, second):
        env.reset(seed=11)
        env.reset()
    for _ in range(150):
        actions = np.array([2, 0, 1])
        np.testing.assert_array_equal(first.step(actions)[0], second.step(actions)[0])


@pytest.mark.parametrize(
    "space",
    [
        spaces.Dict({"a": spaces.Discrete(2)}),
        spaces.Tuple([spaces.Discrete(2)]),
        spaces.MultiBinary(3),
    ],
    ids=["Dict", "Tuple", "MultiBinary"],
)
@pytest.mark.parametrize("kind", ["observation", "action"])
def test_spaces_that_are_not_supported_are_refused_in_one_sentence(register, kind, space):
    env_id = register(**{kind: space})
    with pytest.raises(TaskError) as refusal:
        make_gymnasium_env(env_id, 1)
    sentence = str(refusal.value)
    assert env_id in sentence
    assert type(space).__name__ in sentence
    assert sentence.count(".") == 1
    assert sentence.endswith(".")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("CartPol-v1", "CartPole-v1"),
        ("Pendulum-v7", "Pendulum-v1"),
        ("SuperMarioBross", "SuperMarioBros"),
        ("lunarlander-v3", "LunarLander-v3"),
    ],
)
def test_an_unknown_id_is_answered_with_the_nearest_known_one(typed, meant):
    with pytest.raises(TaskError, match=rf"'{typed}' is unknown\. Did you mean {meant}\?"):
        make_gymnasium_env(typed, 1)


def test_the_module_in_front_of_an_id_stands_in_front_of_what_is_suggested():
    typed, meant = "tests.registered_task:tests/Gues-v0", "tests.registered_task:tests/Guess-v0"
    with pytest.raises(TaskError) as refusal:
        make_gymnasium_env(typed, 1)
    assert str(refusal.value) == f"--env-name {typed!r} is unknown. Did you mean {meant}?"
    make_gymnasium_env(meant, 1)


def test_an_unknown_module_is_refused_by_name():
    with pytest.raises(TaskError, match="no_such_module"):
        make_gymnasium_env("CartPole-v1", 1, module="no_such_module")


@pytest.mark.parametrize("hide", [(3,), (-1,), (0, 1, 2)])
def test_hiding_what_is_not_there_or_everything_is_refused(hide):
    with pytest.raises(TaskError, match="--hide"):
        make_gymnasium_env("Pendulum-v1", 1, hide=hide)


@pytest.mark.parametrize(
    ("env_id", "module"),
    [("tests/Guess-v0", "tests.registered_task"), ("tests.registered_task:tests/Guess-v0", "")],
)
def test_a_users_module_registers_its_task(env_id, module):
    env = make_gymnasium_env(env_id, 2, module=module)
    observation, _ = env.reset(seed=0)
    _, rewards, *_ = env.step(observation.argmax(1))
    assert rewards.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("def broken(:", "cannot be imported: SyntaxError: "),
        ("raise ImportError('no\\nluck')", "cannot be imported: ImportError: no luck."),
    ],
)
def test_a_module_that_fails_is_refused_in_a_sentence(tmp_path, monkeypatch, content, told):
    name = f"fails_{abs(hash(content))}"
    (tmp_path / f"{name}.py").write_text(content)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(TaskError) as refused:
        make_gymnasium_env("CartPole-v1", 1, module=name)
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_environment_that_cannot_be_made_is_refused_in_its_own_words():
    gymnasium.register("CannotBeMade-v0", entry_point=lambda: 1 // 0)  # type: ignore[arg-type]
    with pytest.raises(TaskError, match="CannotBeMade-v0 cannot be made: ZeroDivisionError"):
        make_gymnasium_env("CannotBeMade-v0", 1)
