"""Measurements side by side with peers and limits: `python -m benchmarks NAME` prints one JSON line; `--list` the
names.

A benchmark is a module here with `run() -> Result`. It measures ours and the peer's in the same run and takes
medians; machines differ and are noisy, so the ratio is what counts. None is a test, and none is timed out.
"""
