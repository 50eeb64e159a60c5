"""The kernel's word on its clock is read from where the kernel writes it."""

import ctypes
import sys

import pytest

from tidegate import clock

if not sys.platform.startswith("linux"):
    pytest.skip("adjtimex is Linux's", allow_module_level=True)


@pytest.fixture(autouse=True)
def afresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "_checked_at_s", float("-inf"))


class Kernel:
    """A C library whose adjtimex writes what a kernel would, field by field at the C compiler's offsets."""

    def __init__(self, status: int, maxerror_us: int, result: int = 0) -> None:
        self.status, self.maxerror_us, self.result = status, maxerror_us, result

    def adjtimex(self, timex: object) -> int:
        address = ctypes.addressof(timex._obj)  # type: ignore[attr-defined]  # what byref points to
        size = ctypes.sizeof(ctypes.c_long)
        ctypes.c_long.from_address(address + 3 * size).value = self.maxerror_us
        ctypes.c_long.from_address(address + 4 * size).value = 16_000_000  # esterror: its bit 0x40 is clear
        ctypes.c_int.from_address(address + 5 * size).value = self.status
        return self.result


@pytest.mark.parametrize(
    ("status", "result", "told"),
    [
        (0x2001, 0, (True, 0.0125)),
        (0x2041, 5, (False, None)),
        (0x0040, 5, (False, None)),
        (0x2001, -1, (False, None)),
    ],
)
def test_status_and_error(
    monkeypatch: pytest.MonkeyPatch, status: int, result: int, told: tuple[bool, float | None]
) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: Kernel(status, 12_500, result))
    assert clock.kernel_clock() == told
    assert clock.clock_is_disciplined() is told[0]


def test_this_kernel_answers_and_is_asked_at_most_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    first = clock.kernel_clock()
    assert first.disciplined is (first.error_s is not None)
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: pytest.fail("asked again"))
    assert clock.kernel_clock() == first
