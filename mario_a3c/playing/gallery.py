"""A page of 32 tiles: the agent of every stage, playing it.

``python play.py --gallery DIR`` records the greedy episode of every ``mario-W-S.safetensors`` and
writes ``DIR/index.html``, the videos beside it, and ``DIR/grid.png``, a picture of all tiles.
"""

from __future__ import annotations

import hashlib
import html
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mario_a3c.envs.traces import Trace
from mario_a3c.files import write_atomically
from mario_a3c.playing.video import VideoWriter
from mario_a3c.stages import ALL, STAGES_PER_WORLD, WORLDS

POSTER = 0.5
"""Which picture of a video stands for it, as a part of its length."""
TILE = (128, 120)
"""Width and height of a tile of the grid."""

_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>mario_a3c: $finished of $all stages</title>
<style>
  body { margin: 2em auto; max-width: 1100px; padding: 0 1em; font: 15px/1.4 sans-serif;
         background: #181a1f; color: #e8e8e8 }
  main { display: grid; grid-template-columns: repeat(auto-fill, minmax(230px, 1fr)); gap: 14px }
  figure { margin: 0; background: #23262d; border-radius: 6px; overflow: hidden }
  video, .none { width: 100%; aspect-ratio: 256 / 240; display: block; background: #000 }
  .none { display: grid; place-items: center; color: #777 }
  figcaption { padding: 8px 10px }
  b { font-size: 17px; margin-right: .5em }
</style>
<h1>$finished of $all stages</h1>
<p>Every agent was trained from pixels by asynchronous advantage actor-critic. The videos show the
greedy episode from the beginning of the stage; "sampled" are episodes with actions drawn from the
policy and random no-op frames first.</p>
<main>
$tiles
</main>
<script>
  // Play what is in view, and nothing else.
  const watch = new IntersectionObserver(entries => entries.forEach(
    e => e.isIntersecting ? e.target.play().catch(() => {}) : e.target.pause()));
  document.querySelectorAll("video").forEach(video => watch.observe(video));
</script>
</html>
""")


@dataclass(frozen=True)
class Tile:
    """What the gallery shows of a stage.

    Attributes:
        world: 1 to 8.
        stage: 1 to 4.
        trace: the greedy episode; None if there is no agent.
        facts: a few words about it.
    """

    world: int
    stage: int
    trace: Trace | None
    facts: str

    @property
    def name(self) -> str:
        """The stage's name, for example ``1-1``."""
        return f"{self.world}-{self.stage}"


class Gallery:
    """Writes the page tile by tile; see the module."""

    def __init__(self, folder: Path) -> None:
        """Make the folder.

        Raises:
            OSError: it cannot be made.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._tiles: dict[tuple[int, int], str] = {}
        self._finished = 0
        width, height = TILE
        size = (width * len(STAGES_PER_WORLD), height * len(WORLDS))
        self._grid = Image.new("RGB", size, "#23262d")

    def add(self, tile: Tile, pictures: Iterator[NDArray[np.uint8]]) -> None:
        """Record a tile's episode.

        Args:
            tile: the stage.
            pictures: of its trace, ``uint8 [240, 256, 3]``, one for every byte of it.

        Raises:
            OSError: the disk is full.
        """
        if tile.trace is None:
            self._tiles[tile.world, tile.stage] = _tile(
                tile, '<div class="none">no agent yet</div>'
            )
            self._paste(tile, None)
            return
        poster_at = int(len(tile.trace.buttons) * POSTER)
        with VideoWriter(self._folder / f"{tile.name}.mp4", scale=1) as video:
            for number, picture in enumerate(pictures):
                video.write(picture)
                if number == poster_at:
                    self._paste(tile, picture)
                    Image.fromarray(picture).save(self._folder / f"{tile.name}.png")
        self._finished += tile.trace.completed
        shown = (
            f'<video src="{tile.name}.mp4" poster="{tile.name}.png" muted loop playsinline '
            'controls preload="none"></video>'
        )
        self._tiles[tile.world, tile.stage] = _tile(tile, shown)

    def write(self) -> Path:
        """Write the page and the picture of the grid, and return the path of the page."""
        tiles = "\n".join(self._tiles[stage] for stage in ALL)
        text = _PAGE.substitute(finished=self._finished, all=len(ALL), tiles=tiles)
        page = self._folder / "index.html"
        write_atomically(page, text.encode())
        self._grid.save(self._folder / "grid.png", optimize=True)
        return page

    def _paste(self, tile: Tile, picture: NDArray[np.uint8] | None) -> None:
        """Put a picture into the grid; a dark field with the stage's name without one."""
        width, height = TILE
        corner = ((tile.stage - 1) * width, (tile.world - 1) * height)
        if picture is not None:
            self._grid.paste(Image.fromarray(picture).resize(TILE), corner)
        draw = ImageDraw.Draw(self._grid)
        position = (corner[0] + 6, corner[1] + height - 16)
        draw.text(position, tile.name, fill="white", stroke_width=2, stroke_fill="black")


def _tile(tile: Tile, shown: str) -> str:
    caption = f"<b>{tile.name}</b>{html.escape(tile.facts)}"
    return f"<figure>{shown}<figcaption>{caption}</figcaption></figure>"


def facts(results: Path, agent: Path, world: int, stage: int) -> str:
    """Return a few words about an agent from what `mario_a3c.benchmark` has measured.

    Args:
        results: the file of what was measured.
        agent: of the stage; if it is there and another one than was measured, nothing is known.
        world: 1 to 8.
        stage: 1 to 4.
    """
    try:
        known: dict[str, Any] = json.loads(results.read_text("utf-8"))
    except (OSError, ValueError):
        known = {}
    figures = known.get(f"mario-{world}-{stage}")
    if figures is None:
        return ""
    if agent.exists() and hashlib.sha256(agent.read_bytes()).hexdigest() != figures["sha256"]:
        return ""
    if not figures["shipped"]:
        return f"gets to x {figures['greedy_max_x']}"
    greedy = "finishes greedily" if figures["greedy"] else f"greedy: to x {figures['greedy_max_x']}"
    return (
        f"{greedy}, sampled {100 * figures['sampled'] / figures['episodes']:.0f}%; "
        f"{figures['steps'] / 1e6:.1f} M steps, {figures['seconds'] / 60:.0f} min"
    )
