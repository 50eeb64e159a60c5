"""The few file operations that durable storage stands on, as one small interface.

The journal calls nothing else of the operating system. So its tests can run it on a file system that forgets what was
not synced, fills up, or fails, and every promise it makes about a power cut is tested rather than believed.

What the calls promise is what POSIX promises and no more: bytes written survive the end of the process at once, but a
power cut only after `sync` of the file; a name created, renamed or removed survives a power cut only after
`sync_directory` of its folder.
"""

import errno
import fcntl
import os
from pathlib import Path
from typing import Protocol


class Files(Protocol):
    """File operations of a journal. Handles are opaque integers. Every method raises OSError as the system does."""

    def make_directory(self, path: Path) -> None:
        """Make a folder and its parents durably; nothing happens where it exists."""

    def names(self, directory: Path) -> list[str]:
        """Names of the files in a folder, in any order."""

    def size(self, path: Path) -> int:
        """Size of a file in bytes."""

    def create(self, path: Path, *, replace: bool = False) -> int:
        """Create a file for reading and writing; FileExistsError where it exists, unless `replace` empties it."""

    def open(self, path: Path, *, writable: bool = False) -> int:
        """Open an existing file."""

    def read(self, handle: int, size: int, offset: int) -> bytes:
        """Up to `size` bytes from `offset`; fewer at the end of the file."""

    def write(self, handle: int, data: bytes, offset: int) -> int:
        """Write at `offset`; returns how many bytes were taken, which can be fewer than given."""

    def truncate(self, handle: int, size: int) -> None:
        """Cut the file to `size` bytes."""

    def sync(self, handle: int) -> None:
        """Return when the file's bytes and size are on disk. After an error nothing may be believed about them."""

    def sync_directory(self, path: Path) -> None:
        """Return when the names in the folder are on disk."""

    def rename(self, source: Path, target: Path) -> None:
        """Rename within a folder, replacing `target` in one step."""

    def unlink(self, path: Path) -> None:
        """Remove a name."""

    def close(self, handle: int) -> None:
        """Close a handle (also one given by `lock`, which ends the lock)."""

    def lock(self, path: Path) -> int:
        """Take the exclusive lock on `path`, or raise BlockingIOError that says who holds it."""


class OsFiles:
    """`Files` on the real operating system (POSIX)."""

    def make_directory(self, path: Path) -> None:
        missing = [folder for folder in (path, *path.parents) if not folder.is_dir()]
        for folder in reversed(missing):
            folder.mkdir(exist_ok=True)
            self.sync_directory(folder.parent)

    def names(self, directory: Path) -> list[str]:
        with os.scandir(directory) as entries:
            return [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]

    def size(self, path: Path) -> int:
        return os.stat(path).st_size

    def create(self, path: Path, *, replace: bool = False) -> int:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | (os.O_TRUNC if replace else os.O_EXCL), 0o640)

    def open(self, path: Path, *, writable: bool = False) -> int:
        return os.open(path, (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC)

    def read(self, handle: int, size: int, offset: int) -> bytes:
        return os.pread(handle, size, offset)

    def write(self, handle: int, data: bytes, offset: int) -> int:
        return os.pwrite(handle, data, offset)

    def truncate(self, handle: int, size: int) -> None:
        os.ftruncate(handle, size)

    def sync(self, handle: int) -> None:
        # A Mac answers fsync before the drive has written; F_FULLFSYNC is its call with the meaning we need.
        full_sync: int | None = getattr(fcntl, "F_FULLFSYNC", None)
        if full_sync is not None:
            fcntl.fcntl(handle, full_sync)
        else:
            os.fdatasync(handle)

    def sync_directory(self, path: Path) -> None:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def rename(self, source: Path, target: Path) -> None:
        os.replace(source, target)

    def unlink(self, path: Path) -> None:
        os.unlink(path)

    def close(self, handle: int) -> None:
        os.close(handle)

    def lock(self, path: Path) -> int:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        except BlockingIOError:
            holder = os.pread(handle, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(handle)
            raise BlockingIOError(errno.EWOULDBLOCK, f"held by process {holder}", str(path)) from None
        except OSError as error:
            # The lock is what counts; a full disk that cannot take the note of who holds it must not stop a start.
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                os.close(handle)
                raise
        return handle


OS_FILES = OsFiles()
