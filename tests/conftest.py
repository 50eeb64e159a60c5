"""Settings of all tests: hypothesis repeats the same cases on every run, and says by what seed."""

from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("repeatable")


def pytest_report_header() -> str:
    return "hypothesis: derandomized (each test's cases follow from its own source)"
