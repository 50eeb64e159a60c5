"""Every driver makes the same of many stamped lines at once as of each in turn."""

from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers import driver as drivers
from drivers.driver import Decoded, Driver, Problem
from tests.drivers.decoded import frames, samples
from tidegate.clock import NAT, Arrival

LINES = [
    b"# 13.7971,  4.01241,    6.536,  33.4881, 1501.145, 23 Nov 2013 00:00:21,  25.0608, 11.4,   2.3\r\n",
    b"  21.8054,  5.17647,    1.250, 01 Aug 2014, 00:00:01\r\n",
    b"21.8054,  5.17647,  36.5878, 1528.105\r\n",
    b"tide: start time = 05 Jan 2014 00:00:28, p = 208.8057, pt = 14.004, t = 13.8633\r\n",
    b"0A51620A05B30003E8E1A5D419B52F\r\n",
    b"<datapacket><hdr><mfg>Sea-Bird</mfg></hdr>\r\n",
    b"<data><t1>20.1</t1></data></datapacket>\r\n",
    b"$GPZDA,000000.00,16,12,1994,00,00*67\r\n",
    b"$GPGLL,2200.1091,S,01756.3580,W,235959.226,A*3E\r\n",
    b"$HEHDT,218.53,T*12\r\n",
    b"2018-01-01 00:00:00.000, 38.6671, 22.0217, 10.9596\r\n",
    b"NANO,V,2013/08/22 00:16:45.000,13.987223,25.126694121\r\n",
    b"$PRSXX\r\n",
    b"S>\r\n",
    b"\x7f\x7f\xf0\x02\x00\n",
    b"time out\r\n",
    b"12.3",
    b"\xff\x00\r",
]
STAMPS = st.one_of(
    st.integers(0, 3).map(lambda n: Arrival(1_406_851_200 * 10**9 + n * 10**9, 0, "", False)),
    st.integers(0, 3).map(lambda n: Arrival(1_406_851_200 * 10**9 + n * 10**9, n * 10**9, "00ff", True)),
    st.just(Arrival(NAT, 0, "", False)),
)


def made(name: str) -> Driver:
    guesses = drivers.load(name).guesses()
    if not guesses:
        pytest.skip("has no settings to try on an unknown line")
    return drivers.load(name)("x", guesses[0])


def by_schema(decoded: list[Decoded]) -> dict[Any, list[Any]]:
    table = defaultdict(list)
    for sample in samples(decoded):
        table[sample[0]].append(sample)
    return table


def problems(decoded: list[Decoded]) -> list[tuple[Any, ...]]:
    found = [d for d in decoded if isinstance(d, Problem)]
    return sorted((p.offset, p.kind, p.size, p.data, p.message, p.arrival.utc_ns) for p in found)


@pytest.mark.parametrize("name", drivers.names())
@settings(max_examples=30)
@given(st.lists(st.tuples(st.sampled_from(LINES), STAMPS), max_size=40), st.integers(1, 40))
def test_many_lines_at_once_are_as_each_in_turn(name: str, fed: list[tuple[bytes, Arrival]], size: int) -> None:
    single, many = made(name), made(name)
    want = [item for data, at in fed for item in single.feed(data, at)] + single.finish()
    got = [item for i in range(0, len(fed), size) for item in many.feed_all(fed[i : i + size])] + many.finish()
    assert by_schema(got) == by_schema(want)
    assert problems(got) == problems(want)
    assert {frame.instrument for frame in frames(got)} <= {"x"}
