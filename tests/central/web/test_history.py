from pathlib import Path

import numpy as np
import pytest

from central.web.history import archived, nothing, tracks
from central.web.window import Window
from tests.central.filled import ADCP, EAST, SECOND, TEMPERATURE, FilledHub

T0 = 1_770_000_000 * SECOND


@pytest.mark.parametrize("rows", [0, 20, 50, 5000])
def test_memory_and_archive_together_are_the_whole_series(tmp_path: Path, rows: int) -> None:
    hub = FilledHub(tmp_path, T0)
    try:
        hub.platform("quay", (1.0, 103.0), adcp=(ADCP, 60.0, "trdi_pd0", "", "", ""))
        t = hub.times(60, 6 * 3600)
        columns = hub.adcp(t)
        columns[TEMPERATURE][100] = np.nan
        hub.samples("quay", "adcp", ADCP, t, columns)
        hub.caught_up()
        archive = hub.hub.archive
        assert archive is not None
        start_ns = int(t[40])
        recent = nothing(ADCP)
        if rows:
            window = Window(most_rows=rows)
            window.write(list(hub.hub.changes.read()))
            (recent,) = window.recent("quay", "adcp")
        begins_ns = int(recent.time[0]) if rows else T0 + 1
        older = archived(archive, "quay", "adcp", ADCP, start_ns, begins_ns) if begins_ns > start_ns else {}
        found = tracks(recent, older, start_ns)
        for name, decimals in ((TEMPERATURE, 2), (EAST, 3)):
            np.testing.assert_array_equal(found[name].time, t[40:])
            np.testing.assert_array_equal(found[name].values, np.round(columns[name][40:], decimals))
            assert found[name].flags.shape == found[name].values.shape
            assert ((found[name].flags == 9) == np.isnan(found[name].values)).all()
    finally:
        hub.close()
