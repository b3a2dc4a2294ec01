"""The header of a checkpoint: what a file says that it holds, held against the bytes there are.

A file of safetensors begins with the length of its header, 8 bytes, and the header: JSON that says
of each tensor its type, its shape and where its bytes lie among those that follow. All of that is
checked here, so that no library is asked to make what a file only claims.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from typing import Any

from mario_a3c.faults import one_line

FORMAT = "mario_a3c/2"
FORMAT_WITHOUT_DIGEST = "mario_a3c/1"
LARGEST_HEADER = 2**20
MOST_DIMENSIONS = 8
ITEM_SIZES = {"F16": 2, "BF16": 2, "F32": 4, "F64": 8, "I64": 8}
"""Bytes of a number, for every type that a checkpoint may hold."""
NO_DIGEST = "0" * 64
"""Stands in the digest's place while the digest is taken."""


class HeaderError(ValueError):
    """What is wrong with a header, as the end of a sentence that begins with the file's name."""


def described(metadata: dict[str, Any]) -> dict[str, str]:
    """Return what is to stand in the header beside the tensors, before the file is `signed`."""
    return {"format": FORMAT, "digest": NO_DIGEST, "metadata": json.dumps(metadata)}


def signed(content: bytes) -> bytes:
    """Return a file's content with the digest over all of it in its header."""
    return content.replace(_field(NO_DIGEST), _field(hashlib.sha256(content).hexdigest()), 1)


def read_header(content: bytes) -> dict[str, str]:
    """Return what a file says of itself, once its bytes are known to be as written.

    Args:
        content: of the whole file.

    Raises:
        HeaderError: it is damaged or not ours, or claims tensors that are not there.
    """
    length = int.from_bytes(content[:8], "little")
    try:
        if not 2 <= length <= min(LARGEST_HEADER, len(content) - 8):
            raise ValueError
        text = content[8 : 8 + length].decode()
        entries = json.loads(text, object_pairs_hook=_without_repetition)
        ours = entries.pop("__metadata__")
        found, digest = ours["format"], ours.get("digest", "")
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise HeaderError("is damaged or not a checkpoint: it has no header of ours") from error
    if found not in (FORMAT, FORMAT_WITHOUT_DIGEST):
        raise HeaderError("is not a checkpoint of this program")
    if found == FORMAT and not _fits(digest, content):
        raise HeaderError("is damaged: its digest does not fit its content")
    if not all(isinstance(value, str) for value in ours.values()):
        raise HeaderError("holds metadata that cannot be read")
    _check_entries(entries, len(content) - 8 - length)
    return dict(ours)


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse names that stand twice: another reader may take the other one of the two."""
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a name stands twice")
    return dict(pairs)


def _fits(digest: object, content: bytes) -> bool:
    """Return whether a digest is that of the content, with `NO_DIGEST` in its place."""
    if not (isinstance(digest, str) and re.fullmatch("[0-9a-f]{64}", digest)):
        return False
    unsigned = content.replace(_field(digest), _field(NO_DIGEST), 1)
    return hashlib.sha256(unsigned).hexdigest() == digest


def _field(digest: str) -> bytes:
    """Return the digest as it stands in the header."""
    return f'"digest":"{digest}"'.encode()


def _check_entries(entries: dict[str, Any], size: int) -> None:
    """Refuse tensors of which the bytes that follow the header, ``size`` of them, are not there.

    Nothing may be claimed by two of them, and nothing by none.
    """
    taken = []
    for name, entry in entries.items():
        shown = one_line(repr(name), 100)
        if not (isinstance(entry, dict) and entry.keys() == {"dtype", "shape", "data_offsets"}):
            raise HeaderError(f"is damaged: it does not say what {shown} is")
        kind, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
        if not (isinstance(kind, str) and kind in ITEM_SIZES):
            raise HeaderError(f"holds numbers of an odd kind, in {shown}")
        if not (
            _are_counts(shape) and len(shape) <= MOST_DIMENSIONS and max(shape, default=0) < 2**31
        ):
            raise HeaderError(f"is damaged: {shown} has an impossible shape")
        needed = math.prod(shape) * ITEM_SIZES[kind]
        if not (_are_counts(offsets) and len(offsets) == 2 and offsets[1] - offsets[0] == needed):
            raise HeaderError(
                f"is damaged: the bytes of {shown} are not as many as its shape needs"
            )
        taken.append((*offsets, shown))
    end = 0
    for first, last, shown in sorted(taken):
        if first != end:
            raise HeaderError(f"is damaged: {shown} does not follow the tensor before it")
        end = last
    if end != size:
        raise HeaderError(
            f"is damaged: its tensors have {end:,} bytes, and it has {size:,} for them"
        )


def _are_counts(numbers: object) -> bool:
    """Return whether this is a list of whole numbers from 0 upwards."""
    return isinstance(numbers, list) and all(type(n) is int and n >= 0 for n in numbers)
