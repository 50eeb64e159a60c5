"""Where the recordings of real instruments lie, and the marker of tests that need them.

The recordings are other people's files and are not part of this repository. They are looked for beside the
checkout (`../shared/data`) or in `$TIDEGATE_RECORDINGS`; where they are absent, the tests that need them say so.
"""

import os
from pathlib import Path

import pytest

DATA = Path(os.environ.get("TIDEGATE_RECORDINGS", Path(__file__).parents[2] / "shared" / "data"))

needs_recordings = pytest.mark.skipif(
    not DATA.is_dir(), reason=f"no recordings of real instruments at {DATA} (set TIDEGATE_RECORDINGS)"
)
