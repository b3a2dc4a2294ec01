"""Whether Ray answers at an address: asked by ourselves, since Ray would wait for many minutes."""

from __future__ import annotations

import socket

REACH = 5.0
"""Seconds in which a cluster's head answers."""
FRAME, SETTINGS = 9, b"\4"
"""Bytes of the head of an HTTP/2 frame, and what is the fourth of them in one with settings."""
GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + SETTINGS + bytes(5)
"""With which a client of HTTP/2 begins, and so of Ray; the answer begins with settings too."""


def greet(place: str) -> None:
    """Greet whoever is at ``HOST:PORT``, as Ray's own processes would.

    Raises:
        OSError: nothing answers, or something else than Ray.
        ValueError: the port is none.
    """
    host, _, port = place.rpartition(":")
    if not (port.isdecimal() and 0 < int(port) < 2**16):
        raise ValueError(f"{port or 'nothing'} is no port: they are 1 to {2**16 - 1}")
    with socket.create_connection((host.strip("[]"), int(port)), timeout=REACH) as line:
        line.sendall(GREETING)
        with line.makefile("rb") as answer:
            frame = answer.read(FRAME)
    if frame[3:4] != SETTINGS:
        raise ConnectionError("something else than Ray answers there")
