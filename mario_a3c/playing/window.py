"""A window that shows the game at its own speed."""

from __future__ import annotations

import os
import sys

import numpy as np
from numpy.typing import NDArray

from mario_a3c.envs.engine import SCREEN_SHAPE
from mario_a3c.playing.video import FRAMES_PER_SECOND

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
import pygame

SCALE = 3


class NoDisplayError(Exception):
    """There is nowhere to open a window."""


class WindowClosedError(Exception):
    """The user has closed the window."""


class Window:
    """Shows pictures, 60 a second.

    Raises:
        NoDisplayError: if no window can be opened here.
    """

    def __init__(self, title: str) -> None:
        variables = ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER")
        if sys.platform == "linux" and not any(map(os.environ.get, variables)):
            raise NoDisplayError
        height, width, _ = SCREEN_SHAPE
        try:
            pygame.display.init()
            self._surface = pygame.display.set_mode((width * SCALE, height * SCALE))
        except pygame.error as error:
            raise NoDisplayError from error
        pygame.display.set_caption(title)
        self._clock = pygame.time.Clock()

    def show(self, picture: NDArray[np.uint8]) -> None:
        """Show a picture, ``uint8 [240, 256, 3]``, and wait until the next one is due.

        Raises:
            WindowClosedError: if the user has closed the window, or pressed Escape or Q.
        """
        for event in pygame.event.get():
            keys = (pygame.K_ESCAPE, pygame.K_q)
            if event.type == pygame.QUIT or (event.type == pygame.KEYDOWN and event.key in keys):
                raise WindowClosedError
        image = pygame.surfarray.make_surface(picture.swapaxes(0, 1))
        pygame.transform.scale(image, self._surface.get_size(), self._surface)
        pygame.display.flip()
        self._clock.tick(FRAMES_PER_SECOND)

    def close(self) -> None:
        """Close the window."""
        pygame.display.quit()
