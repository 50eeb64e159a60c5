"""Small files that must survive a power cut whole."""

import os
from pathlib import Path


def write_durably(path: Path, data: bytes) -> None:
    """Make `path` hold `data`, on disk when this returns; after a crash it is the old file or the new, never a part."""
    temporary = path.with_name(path.name + ".new")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
