"""Videos: complete, in colour, or not there at all."""

import subprocess
import sys

import av
import numpy as np
import pytest
from PIL import Image, ImageSequence

from mario_a3c.playing.video import VideoWriter, main, make_gif, read_video, write_video
from tests.disks import largest_file


def pictures(count, height=60, width=80):
    """Red above and blue below, and a white bar that moves."""
    for index in range(count):
        picture = np.zeros((height, width, 3), dtype=np.uint8)
        picture[: height // 2] = (200, 0, 0)
        picture[height // 2 :] = (0, 0, 200)
        picture[:, index % width] = 255
        yield picture


def test_a_video_has_every_picture_at_60_a_second_in_what_browsers_play(tmp_path):
    path = tmp_path / "new" / "video.mp4"
    assert write_video(path, pictures(90), scale=2) == 90
    shown = list(read_video(path))
    assert len(shown) == 90
    assert shown[0].shape == (120, 160, 3)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert stream.average_rate == 60
        assert float(container.duration or 0) / av.time_base == pytest.approx(1.5, abs=0.05)
    for index, picture in enumerate(pictures(90)):
        difference = shown[index][::2, ::2].astype(int) - picture
        assert np.abs(difference[:, 10:70]).mean() < 30


def test_the_index_stands_in_front_so_that_a_browser_can_start_at_once(tmp_path):
    write_video(tmp_path / "video.mp4", pictures(30))
    content = (tmp_path / "video.mp4").read_bytes()
    assert 0 < content.index(b"moov") < content.index(b"mdat")


def test_odd_sizes_are_padded(tmp_path):
    write_video(tmp_path / "video.mp4", pictures(3, 31, 33), scale=1)
    assert next(iter(read_video(tmp_path / "video.mp4"))).shape == (32, 34, 3)


def test_an_error_leaves_the_old_video_and_no_other_file(tmp_path):
    path = tmp_path / "video.mp4"
    write_video(path, pictures(3))
    old = path.read_bytes()

    def broken():
        yield from pictures(20)
        raise RuntimeError("the game broke")

    with pytest.raises(RuntimeError):
        write_video(path, broken())
    with pytest.raises(ValueError, match="No picture"):
        write_video(path, [])
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


def test_pictures_of_different_sizes_are_refused(tmp_path):
    writer = VideoWriter(tmp_path / "video.mp4")
    writer.write(next(pictures(1)))
    with pytest.raises(ValueError, match="A picture is 20x20, the first one was 60x80"):
        writer.write(np.zeros((20, 20, 3), dtype=np.uint8))
    writer.discard()
    assert not list(tmp_path.iterdir())


FULL_DISK = """
import resource, signal, sys
import numpy as np
from mario_a3c.playing.video import write_video
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
noise = np.random.default_rng(0)
try:
    write_video(sys.argv[1], (noise.integers(0, 256, (240, 256, 3), np.uint8) for _ in range(40)))
except OSError as error:
    print("refused")
"""


def test_a_disk_that_is_full_leaves_no_video(tmp_path):
    path = tmp_path / "video.mp4"
    command = [sys.executable, "-c", FULL_DISK, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "refused\n", done.stderr
    assert not list(tmp_path.iterdir())


def test_a_gif_plays_as_long_as_its_video(tmp_path):
    write_video(tmp_path / "video.mp4", pictures(120))
    make_gif(tmp_path / "video.mp4", tmp_path / "video.gif", every=4, width=80)
    with Image.open(tmp_path / "video.gif") as gif:
        assert gif.size == (80, 60)
        durations = [image.info["duration"] for image in ImageSequence.Iterator(gif)]
        assert len(durations) == 30
        assert sum(durations) == 2000
        red, _, blue = np.asarray(gif.convert("RGB"))[5, 70]
        assert red > 150 > blue


def test_a_disk_that_is_full_leaves_the_old_gif(tmp_path):
    write_video(tmp_path / "video.mp4", pictures(120))
    make_gif(tmp_path / "video.mp4", tmp_path / "video.gif", every=4)
    old = (tmp_path / "video.gif").read_bytes()
    with largest_file(1000), pytest.raises(OSError, match="File too large"):
        make_gif(tmp_path / "video.mp4", tmp_path / "video.gif", every=2)
    assert (tmp_path / "video.gif").read_bytes() == old
    assert len(list(tmp_path.iterdir())) == 2


def test_the_gif_command_says_in_one_sentence_what_it_cannot_read(tmp_path, capsys):
    missing = tmp_path / "missing.mp4"
    assert main([str(missing), str(tmp_path / "out.gif")]) == 2
    error = capsys.readouterr().err
    assert "missing.mp4" in error
    assert error.count("\n") == 1
    assert main([]) == 2
