from pathlib import Path

from central.quarantine import Case, Quarantine, Reason


def case(n: int, size: int = 10, platform: str = "quay-3") -> Case:
    return Case(Reason.CORRUPT, platform, "", n, f"number {n}", (n, 0), bytes([n % 256]) * size)


def test_cases_are_kept_counted_and_found_again(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path)
    odd = Case(Reason.UNDECODABLE, "quay-3", "ctd-1", 1, "bad", (3, 2), b"\x00\xff")
    quarantine.add([case(1), odd, case(2, platform="ship-1")])
    for _ in range(2):
        assert quarantine.newest(10) == [case(1), odd, case(2, platform="ship-1")]
        assert quarantine.newest(1) == [case(2, platform="ship-1")]
        assert quarantine.count("quay-3") == {"corrupt": 1, "undecodable": 1}
        assert quarantine.counts()["quay-3", "ctd-1", Reason.UNDECODABLE] == 1
        assert quarantine.source == (3, 2)
        quarantine.close()
        quarantine = Quarantine(tmp_path)
    quarantine.close()


def test_it_is_bounded_and_keeps_the_newest(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path, max_bytes=200_000)
    quarantine.add([case(n, 1000) for n in range(1, 1001)])
    assert quarantine.newest(1) == [case(1000, 1000)]
    assert quarantine.count("quay-3") == {"corrupt": 1000}
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 220_000
    assert 50 < len(quarantine.newest(1000)) < 200
    quarantine.add([case(5, 1 << 20)])
    assert len(quarantine.newest(1)[0].data) == 64 << 10
    quarantine.close()
