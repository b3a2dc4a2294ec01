"""The agent may be shown which buttons it pressed, in the picture that they led to."""

from __future__ import annotations

import numpy as np

from mario_a3c.envs.actions import controller_bytes
from mario_a3c.envs.engines import make_engine
from mario_a3c.envs.mario import MarioVectorEnv
from mario_a3c.envs.observation import show_buttons
from mario_a3c.envs.starts import starts_from_trace


def test_each_bit_of_the_controller_has_a_field_of_its_own() -> None:
    pictures = np.full((3, 84, 84), 7, dtype=np.uint8)
    show_buttons(pictures, np.array([0, 0b10000010, 255], dtype=np.uint8))
    fields = pictures[:, :8, :64].reshape(3, 8, 8, 8)
    assert (fields == fields[:, :1, :, :1]).all()
    assert fields[:, 0, :, 0].tolist() == [
        [0] * 8,
        [0, 255, 0, 0, 0, 0, 0, 255],
        [255] * 8,
    ]
    assert (pictures[:, 8:] == 7).all()
    assert (pictures[:, :, 64:] == 7).all()


def test_the_environment_shows_the_last_decisions_and_plays_the_same_game() -> None:
    plain, shown = (
        MarioVectorEnv(2, 1, 1, engine="native", noop_max=0, display_buttons=display)
        for display in (False, True)
    )
    first, _ = plain.reset(seed=1)
    seen, _ = shown.reset(seed=1)
    assert not seen[:, :, :8, :64].any()
    buttons = controller_bytes("simple")
    rng = np.random.default_rng(1)
    for step in range(1, 9):
        actions = rng.integers(len(buttons), size=2)
        first, *_ = plain.step(actions)
        seen, *_ = shown.step(actions)
        np.testing.assert_array_equal(seen[:, :, 8:], first[:, :, 8:])
        if step >= 4:
            expected = np.zeros((2, 84, 84), dtype=np.uint8)
            show_buttons(expected, np.asarray(buttons, dtype=np.uint8)[actions])
            np.testing.assert_array_equal(seen[:, -1, :8, :64], expected[:, :8, :64])


def test_starts_show_the_buttons_as_the_environment_would() -> None:
    env = MarioVectorEnv(1, 1, 1, engine="native", noop_max=0, display_buttons=True)
    observation, _ = env.reset(seed=1)
    pressed = controller_bytes("simple")
    trace = bytes(int(pressed[action]) for action in (3, 4, 4, 1, 0, 3) for _ in range(4))
    starts = starts_from_trace(make_engine("native", 1, 1, 1), trace, display_buttons=True)
    for start, action in zip(starts, (3, 4, 4, 1, 0, 3), strict=True):
        np.testing.assert_array_equal(start.stack, observation[0])
        observation, *_ = env.step(np.array([action]))
