"""The window: as large as fits, and a true picture."""

import numpy as np
import pygame
import pytest

from mario_a3c.playing.window import NoDisplayError, Window, WindowClosedError


@pytest.fixture(autouse=True)
def display(monkeypatch):
    """A display that nobody sees."""
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    yield
    pygame.display.quit()


def pixels():
    """What the window shows, ``[height, width, 3]``."""
    surface = pygame.display.get_surface()
    assert surface is not None
    return pygame.surfarray.array3d(surface).swapaxes(0, 1)


@pytest.mark.parametrize(
    ("size", "scale"),
    [((240, 256), 3), ((210, 160), 3), ((8, 4), 90), ((400, 600), 1), ((1000, 2000), 1)],
    ids=["Mario", "Atari", "tiny", "CartPole", "huge"],
)
def test_small_pictures_are_enlarged_and_large_ones_are_not(size, scale):
    height, width = size
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    window = Window("test", size, frames_per_second=10_000)
    window.show(picture)
    assert pixels().shape == (height * scale, width * scale, 3)
    np.testing.assert_array_equal(pixels(), picture.repeat(scale, 0).repeat(scale, 1))
    window.close()


@pytest.mark.parametrize(
    "event",
    [
        pygame.event.Event(pygame.QUIT),
        pygame.event.Event(pygame.KEYDOWN, key=pygame.K_ESCAPE),
        pygame.event.Event(pygame.KEYDOWN, key=pygame.K_q),
    ],
    ids=["cross", "Escape", "Q"],
)
def test_the_user_closes_it(event):
    window = Window("test", (8, 8), frames_per_second=10_000)
    pygame.event.post(event)
    with pytest.raises(WindowClosedError):
        window.show(np.zeros((8, 8, 3), dtype=np.uint8))


def test_it_is_known_where_there_is_no_display(monkeypatch):
    for variable in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    with pytest.raises(NoDisplayError):
        Window("test", (8, 8), frames_per_second=60)
