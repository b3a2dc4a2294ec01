"""The gallery: one page with a tile for every stage, whose videos a browser plays."""

from __future__ import annotations

import functools
import http.server
import re
import shutil
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest

from mario_a3c.envs.traces import Trace
from mario_a3c.playing.gallery import Gallery, Tile, facts
from mario_a3c.playing.mario import agent_file
from mario_a3c.playing.video import read_video
from mario_a3c.stages import ALL

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

CHECK = """<!DOCTYPE html><body>waiting<iframe src="index.html"></iframe><script>
  onload = async () => {
    const videos = [...document.querySelector("iframe").contentDocument.querySelectorAll("video")];
    const played = await Promise.all(videos.map(async video => {
      video.preload = "auto"; video.load();
      await video.play();
      return `${video.videoWidth}x${video.videoHeight} ${video.duration.toFixed(2)}s`;
    }));
    await fetch("/done?" + encodeURIComponent(played.join(",")));
  };
</script>"""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """Make a gallery in which only 1-1 has an agent, whose episode takes a second."""
    gallery = Gallery(tmp_path / "gallery")
    trace = Trace(1, 1, seed=0, noops=0, completed=True, buttons=bytes(60))
    rng = np.random.default_rng(1)
    for stage in ALL:
        pictures = (rng.integers(0, 256, (240, 256, 3), dtype=np.uint8) for _ in range(60))
        gallery.add(Tile(*stage, trace if stage == (1, 1) else None, "a <b> & c"), pictures)
    return gallery.write()


def test_there_is_a_tile_for_every_stage_and_a_video_for_every_agent(page: Path) -> None:
    text = page.read_text("utf-8")
    assert re.findall(r"<b>(\d-\d)</b>", text) == [f"{w}-{s}" for w, s in ALL]
    assert text.count("<video") == 1
    assert "1 of 32 stages" in text
    assert "a &lt;b&gt; &amp; c" in text
    assert len(list(read_video(page.parent / "1-1.mp4"))) == 60
    assert (page.parent / "grid.png").stat().st_size > 1000


def test_facts_come_from_what_the_benchmark_measured(tmp_path: Path) -> None:
    results, agent = Path("docs/results.json"), agent_file(1, 1)
    assert "sampled" in facts(results, agent, 1, 1)
    assert facts(tmp_path / "missing.json", agent, 1, 1) == ""


def test_an_agent_that_was_not_measured_is_not_shown_with_the_figures_of_another(
    tmp_path: Path,
) -> None:
    own = tmp_path / "mario-1-1.safetensors"
    own.write_bytes(agent_file(1, 2).read_bytes())
    assert facts(Path("docs/results.json"), own, 1, 1) == ""


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
def test_a_browser_plays_the_videos(page: Path, tmp_path: Path) -> None:
    (page.parent / "check.html").write_text(CHECK)
    told: list[str] = []
    done = threading.Event()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/done"):
                told.append(self.path)
                done.set()
                self.send_response(204)
                self.end_headers()
            else:
                super().do_GET()

        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Handler, directory=str(page.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/check.html"
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        profile = f"--user-data-dir={tmp_path / 'profile'}"
        browser = subprocess.Popen(
            [str(CHROMIUM), *options, "--autoplay-policy=no-user-gesture-required", profile, url],
            stderr=subprocess.DEVNULL,
        )
        try:
            assert done.wait(60), "the browser did not play the video"
        finally:
            browser.terminate()
            browser.wait()
            server.shutdown()
    assert told == ["/done?256x240%201.00s"]
