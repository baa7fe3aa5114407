"""Short names of contents: the same content, the same digest, on every machine."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any


def digest(content: Any, length: int = 12) -> str:
    """First hexadecimal digits of the SHA-256 of what JSON makes of `content`."""
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file's content, read in blocks."""
    total = hashlib.sha256()
    with Path(path).open('rb') as file:
        while block := file.read(1 << 20):
            total.update(block)
    return total.hexdigest()


def digest_of_parts(*parts: bytes | str | Path, length: int = 16) -> str:
    """First hexadecimal digits of the SHA-256 of texts and of the contents of files, one after the other."""
    total = hashlib.sha256()
    for part in parts:
        data = part.read_bytes() if isinstance(part, Path) else part.encode() if isinstance(part, str) else part
        total.update(hashlib.sha256(data).digest())
    return total.hexdigest()[:length]
