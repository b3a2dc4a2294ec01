"""The source of the native engine, by a number that a build of it carries as well.

``setup.py`` runs this file before anything is installed: it needs nothing but Python.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

NATIVE = Path(__file__).parents[2] / "native"


def source_digest(source: Path = NATIVE) -> str:
    """Return 12 hexadecimal digits that stand for the source of the engine.

    Raises:
        OSError: if there is no source, as where the package was installed from a wheel.
    """
    digest = hashlib.sha256()
    files = sorted(path for path in source.iterdir() if path.suffix in (".cpp", ".hpp", ".inc"))
    for path in files:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]
