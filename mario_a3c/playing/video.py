"""Videos that every browser plays: H.264 in MP4, and GIFs made from them.

``python -m mario_a3c.playing.video in.mp4 out.gif`` makes a small GIF of a video.
"""

from __future__ import annotations

import io
import itertools
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mario_a3c.files import sync, write_atomically

FRAMES_PER_SECOND = 60


class VideoWriter:
    """Writes pictures into an H.264 MP4 file (yuv420p, index in front).

    The file is written under a temporary name in the same folder and gets its own name when it is
    complete, so that a full disk or an error leaves no broken video. Use it in a ``with`` block:
    an exception inside, or a call of `discard`, leaves nothing behind.

    Args:
        path: the ``.mp4`` file; its folder is made if it is not there.
        frames_per_second: of the video.
        scale: every pixel becomes a square of this many.

    Raises:
        OSError: if the folder cannot be written to, or the disk is full.
    """

    def __init__(
        self, path: str | Path, frames_per_second: int = FRAMES_PER_SECOND, scale: int = 2
    ) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, self._temporary = tempfile.mkstemp(".mp4.partial", ".", self.path.parent)
        os.close(descriptor)
        self._scale = scale
        self._container = av.open(
            self._temporary, "w", format="mp4", options={"movflags": "+faststart"}
        )
        self._stream = self._container.add_stream(
            "libx264", rate=Fraction(frames_per_second), options={"crf": "20", "preset": "veryfast"}
        )
        self._stream.pix_fmt = "yuv420p"
        self._size: tuple[int, ...] = ()
        self.frames = 0

    def write(self, picture: NDArray[np.uint8]) -> None:
        """Add a picture, ``uint8 [height, width, 3]`` RGB, of the same size as the others."""
        size = picture.shape[:2]
        if not self.frames:
            self._size = size
        if size != self._size:
            expected = "x".join(map(str, self._size))
            raise ValueError(f"A picture is {size[0]}x{size[1]}, the first one was {expected}.")
        picture = picture.repeat(self._scale, axis=0).repeat(self._scale, axis=1)
        height, width = picture.shape[:2]
        # yuv420p has one colour for two by two pixels.
        picture = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        if not self.frames:
            self._stream.height, self._stream.width = picture.shape[:2]
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        self._container.mux(self._stream.encode(frame))
        self.frames += 1

    def close(self) -> None:
        """Complete the file and give it its name.

        Raises:
            ValueError: if no picture was written; no file is left then.
            OSError: if the disk is full; no file is left then.
        """
        if not self.frames:
            self.discard()
            raise ValueError(f"No picture was written to {self.path}.")
        try:
            self._container.mux(self._stream.encode(None))
            self._container.close()
            Path(self._temporary).chmod(0o644)
            sync(Path(self._temporary))
            Path(self._temporary).replace(self.path)
        except BaseException:
            self.discard()
            raise

    def discard(self) -> None:
        """Stop writing and leave no file."""
        try:
            self._container.close()
        except (OSError, ValueError):
            pass  # it is thrown away in any case
        finally:
            Path(self._temporary).unlink(missing_ok=True)

    def __enter__(self) -> VideoWriter:
        """Begin a ``with`` block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Complete the file, or leave nothing after an exception."""
        if kind is None:
            self.close()
        else:
            self.discard()


def write_video(
    path: str | Path,
    pictures: Iterable[NDArray[np.uint8]],
    frames_per_second: int = FRAMES_PER_SECOND,
    scale: int = 2,
) -> int:
    """Write pictures, each ``uint8 [height, width, 3]``, to an MP4 file and return their number."""
    with VideoWriter(path, frames_per_second, scale) as writer:
        for picture in pictures:
            writer.write(picture)
    return writer.frames


def read_video(path: str | Path) -> Iterator[NDArray[np.uint8]]:
    """Yield the pictures of a video, ``uint8 [height, width, 3]`` RGB.

    Raises:
        OSError: if the file is not there or not a video.
    """
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)


def frames_per_second(path: str | Path) -> float:
    """Return at how many pictures a second a video plays.

    Raises:
        OSError: if the file is not there or not a video.
    """
    with av.open(str(path)) as container:
        return float(container.streams.video[0].average_rate or FRAMES_PER_SECOND)


def make_gif(
    video: str | Path, gif: str | Path, every: int = 4, width: int = 256, colours: int = 32
) -> None:
    """Make a GIF of a video that plays at its speed.

    Args:
        video: the video file.
        gif: the file to write.
        every: keep one picture in this many; GIF players manage at most 50 a second.
        width: of the GIF in pixels.
        colours: in the palette, one for the whole GIF.

    Raises:
        OSError: if the video cannot be read or the GIF not be written.
    """
    rate = frames_per_second(video)
    images = []
    for picture in itertools.islice(read_video(video), 0, None, every):
        image = Image.fromarray(picture)
        height = round(image.height * width / image.width)
        images.append(image.resize((width, height), Image.Resampling.NEAREST))
    sample = np.concatenate([np.asarray(image) for image in images[:: len(images) // 20 + 1]])
    palette = Image.fromarray(sample).quantize(colours)
    images = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    # A GIF counts hundredths of a second: uneven durations keep the average right.
    times = np.round(np.arange(len(images) + 1) * (100 * every / rate))
    durations = (10 * np.diff(times)).astype(int).tolist()
    content = io.BytesIO()
    images[0].save(
        content, "GIF", save_all=True, append_images=images[1:], duration=durations, loop=0
    )
    write_atomically(Path(gif), content.getvalue())


def main(arguments: Sequence[str] | None = None) -> int:
    """Make a GIF of a video: ``in.mp4 out.gif``; return the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if len(arguments) != 2:
        print("Usage: python -m mario_a3c.playing.video in.mp4 out.gif", file=sys.stderr)
        return 2
    try:
        make_gif(arguments[0], arguments[1])
    except (OSError, ValueError) as error:
        print(f"No GIF could be made of {arguments[0]}: {error}.", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
