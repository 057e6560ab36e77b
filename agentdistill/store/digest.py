"""Name files by their content."""

from __future__ import annotations

import hashlib
from pathlib import Path

DIGEST_HEX_DIGITS = 16
READ_BYTES = 1 << 20


def digest_files(folder: Path, patterns: tuple[str, ...]) -> str:
    """Return the hash of the names and contents of the files of `folder` that match, as 16 hexadecimal digits."""
    digest = hashlib.blake2b(digest_size=DIGEST_HEX_DIGITS // 2)
    files = sorted({file for pattern in patterns for file in folder.glob(pattern) if file.is_file()})
    for file in files:
        digest.update(f"{file.name}\0{file.stat().st_size}\0".encode())
        with file.open("rb") as content:
            while piece := content.read(READ_BYTES):
                digest.update(piece)
    return digest.hexdigest()
