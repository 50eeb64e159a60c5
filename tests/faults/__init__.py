"""The fault rig: real gateway, broker and hub under the faults of a station's life, compared sample by sample.

`python -m tests.faults NAME` runs one scenario and prints one JSON line; the short forms are tests
(`tests/faults/test_faults.py`). Each scenario is a module of this package with one function, `run`.
"""
