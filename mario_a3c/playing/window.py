"""A window that shows the game at its own speed."""

from __future__ import annotations

import os
import sys

import numpy as np
from numpy.typing import NDArray

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
import pygame

LARGEST = (720, 768)
"""Height and width up to which pictures are enlarged: those of the NES by 3."""


class NoDisplayError(Exception):
    """There is nowhere to open a window."""


class WindowClosedError(Exception):
    """The user has closed the window."""


class Window:
    """Shows pictures, every pixel as a square that is as large as fits `LARGEST`.

    Args:
        title: of the window.
        size: height and width of the pictures.
        frames_per_second: so many of them are shown.

    Raises:
        NoDisplayError: if no window can be opened here.
    """

    def __init__(self, title: str, size: tuple[int, int], frames_per_second: int) -> None:
        variables = ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER")
        if sys.platform == "linux" and not any(map(os.environ.get, variables)):
            raise NoDisplayError
        height, width = size
        scale = max(1, min(LARGEST[0] // height, LARGEST[1] // width))
        try:
            pygame.display.init()
            self._surface = pygame.display.set_mode((width * scale, height * scale))
        except pygame.error as error:
            raise NoDisplayError from error
        pygame.display.set_caption(title)
        self._clock = pygame.time.Clock()
        self._frames_per_second = frames_per_second

    def show(self, picture: NDArray[np.uint8]) -> None:
        """Show a picture, ``uint8 [height, width, 3]``, and wait until the next one is due.

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
        self._clock.tick(self._frames_per_second)

    def close(self) -> None:
        """Close the window."""
        pygame.display.quit()
