"""A file system in memory that forgets what was not synced, fills up, and fails when told to.

It is as unkind as POSIX allows: without `sync`, each write may survive a power cut whole, in part, as zeros or not at
all, in any order; without `sync_directory`, so may each creation, renaming and removal. A failed `sync` throws away the
bytes it was about, while programs go on seeing them, and the next `sync` succeeds: what Linux does.
"""

import errno
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn


class PowerCut(BaseException):
    """The power has gone; no call returns any more until `restart`."""


@dataclass(eq=False)
class _File:
    content: bytearray = field(default_factory=bytearray)
    on_disk: bytearray = field(default_factory=bytearray)
    unsynced: list[tuple[int, bytes | None]] = field(default_factory=list)  # (offset, bytes), (size, None) is a cut


def _apply(content: bytearray, offset: int, data: bytes | None) -> None:
    if data is None:
        del content[offset:]
        return
    content.extend(bytes(max(0, offset - len(content))))
    content[offset : offset + len(data)] = data


class ForgetfulFiles:
    """`tidegate.filesystem.Files` in memory.

    Set `calls_until_cut` to cut the power in the n-th changing call from now (0: the next), `failing_syncs` to make
    that many syncs fail, `capacity` to bound the bytes of all files (names cost nothing, as where inodes are set
    apart), `unreadable` to (path, offset) pairs of bytes that cannot be read, `truncate_fails` to make cutting files
    impossible. `syncs` and `bytes_read` count.
    """

    def __init__(self) -> None:
        self.calls_until_cut: int | None = None
        self.failing_syncs = 0
        self.truncate_fails = False
        self.capacity: int | None = None
        self.unreadable: set[tuple[Path, int]] = set()
        self.syncs = 0
        self.bytes_read = 0
        self._dark = False
        self._folders: set[Path] = set()
        self._names: dict[Path, _File] = {}
        self._names_on_disk: dict[Path, _File] = {}
        self._unsynced_names: list[list[tuple[Path, _File | None]]] = []
        self._handles: dict[int, tuple[Path, _File]] = {}
        self._locks: dict[int, Path] = {}
        self._last_handle = 0

    def kill(self) -> None:
        """The process ends: its handles and locks are gone, what it wrote is not."""
        self._handles.clear()
        self._locks.clear()

    def restart(self, choose: Callable[[int], int]) -> None:
        """The power comes back. `choose(n)` picks one of 0..n-1 and so decides what survived."""
        self.kill()
        for change in self._unsynced_names:
            if choose(2):
                self._change(self._names_on_disk, change)
        self._unsynced_names.clear()
        for file in {id(file): file for file in (*self._names.values(), *self._names_on_disk.values())}.values():
            for offset, data in file.unsynced:
                fate = choose(4)
                if data is None and fate:
                    _apply(file.on_disk, offset, None)
                elif data is not None and fate == 1:
                    _apply(file.on_disk, offset, data)
                elif data and fate == 2:
                    _apply(file.on_disk, offset, data[: choose(len(data)) + 1])
                elif data and fate == 3:
                    _apply(file.on_disk, offset, bytes(len(data)))
            file.unsynced.clear()
            file.content = bytearray(file.on_disk)
        self._names = dict(self._names_on_disk)
        self._dark = False
        self.calls_until_cut = None

    def contents(self, path: Path) -> bytearray:
        """The bytes of a file, to be looked at and damaged; damage is on disk at once."""
        file = self._names[path]
        file.on_disk = file.content
        file.unsynced.clear()
        return file.content

    def make_directory(self, path: Path) -> None:
        self._folders.add(path)

    def names(self, directory: Path) -> list[str]:
        self._alive()
        if directory not in self._folders:
            raise FileNotFoundError(errno.ENOENT, "no such folder", str(directory))
        return [path.name for path in self._names if path.parent == directory]

    def size(self, path: Path) -> int:
        return len(self._named(path).content)

    def create(self, path: Path, *, replace: bool = False) -> int:
        self._alive()
        if path in self._names and not replace:
            raise FileExistsError(errno.EEXIST, "exists", str(path))
        if path in self._names:
            file = self._names[path]
            self._edit(file, 0, None)
        else:
            file = _File()
            self._rename([(path, file)])
        self._step()
        return self._handle(path, file)

    def open(self, path: Path, *, writable: bool = False) -> int:
        return self._handle(path, self._named(path))

    def read(self, handle: int, size: int, offset: int) -> bytes:
        self._alive()
        path, file = self._handles[handle]
        for bad_path, bad in self.unreadable:
            if bad_path == path and offset <= bad < offset + size:
                raise OSError(errno.EIO, "input/output error", str(path))
        data = bytes(file.content[offset : offset + size])
        self.bytes_read += len(data)
        return data

    def write(self, handle: int, data: bytes, offset: int) -> int:
        self._alive()
        _, file = self._handles[handle]
        growth = max(0, offset + len(data) - len(file.content))
        room = len(data) - max(0, growth - self._free())
        if data and room <= 0:
            raise OSError(errno.ENOSPC, "no space left on device")
        self._edit(file, offset, data[:room])
        self._step()
        return room

    def truncate(self, handle: int, size: int) -> None:
        self._alive()
        if self.truncate_fails:
            raise OSError(errno.EIO, "input/output error")
        self._edit(self._handles[handle][1], size, None)
        self._step()

    def sync(self, handle: int) -> None:
        self._alive()
        self._step()
        self.syncs += 1
        _, file = self._handles[handle]
        if self.failing_syncs:
            self.failing_syncs -= 1
            file.unsynced.clear()
            raise OSError(errno.EIO, "input/output error")
        for offset, data in file.unsynced:
            _apply(file.on_disk, offset, data)
        file.unsynced.clear()

    def sync_directory(self, path: Path) -> None:
        self._alive()
        self._step()
        for change in self._unsynced_names:
            self._change(self._names_on_disk, change)
        self._unsynced_names.clear()

    def rename(self, source: Path, target: Path) -> None:
        self._alive()
        self._rename([(source, None), (target, self._named(source))])
        self._step()

    def unlink(self, path: Path) -> None:
        self._named(path)
        self._rename([(path, None)])
        self._step()

    def close(self, handle: int) -> None:
        if self._locks.pop(handle, None) is None:
            self._handles.pop(handle, None)

    def lock(self, path: Path) -> int:
        self._alive()
        if path in self._locks.values():
            raise BlockingIOError(errno.EWOULDBLOCK, "held by process 1", str(path))
        if path not in self._names:
            self._rename([(path, _File())])
        self._last_handle += 1
        self._locks[self._last_handle] = path
        return self._last_handle

    def _alive(self) -> None:
        if self._dark:
            self._cut()

    def _cut(self) -> NoReturn:
        self._dark = True
        raise PowerCut

    def _step(self) -> None:
        if self.calls_until_cut is not None:
            if self.calls_until_cut == 0:
                self._cut()
            self.calls_until_cut -= 1

    def _free(self) -> int:
        if self.capacity is None:
            return 1 << 60
        return self.capacity - sum(len(file.content) for file in self._names.values())

    def _named(self, path: Path) -> _File:
        self._alive()
        if path not in self._names:
            raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
        return self._names[path]

    def _handle(self, path: Path, file: _File) -> int:
        self._last_handle += 1
        self._handles[self._last_handle] = path, file
        return self._last_handle

    @staticmethod
    def _edit(file: _File, offset: int, data: bytes | None) -> None:
        _apply(file.content, offset, data)
        file.unsynced.append((offset, data))

    def _rename(self, change: list[tuple[Path, _File | None]]) -> None:
        self._change(self._names, change)
        self._unsynced_names.append(change)

    @staticmethod
    def _change(names: dict[Path, _File], change: list[tuple[Path, _File | None]]) -> None:
        for path, file in change:
            if file is None:
                names.pop(path, None)
            else:
                names[path] = file
