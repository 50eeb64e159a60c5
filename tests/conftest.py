"""Settings of all tests: hypothesis repeats its cases on every run; a skip is a failure where none may be."""

import os
from collections.abc import Generator

import pytest
from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("repeatable")

_NO_SKIPS = os.environ.get("TIDEGATE_NO_SKIPS") == "1"


def pytest_report_header() -> str:
    """Says how chance was ruled out."""
    return "hypothesis: derandomized, each test's cases follow from its own source"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With TIDEGATE_NO_SKIPS=1 a skipped test has failed: its reason is what must be mended here."""
    report = yield
    if _NO_SKIPS and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome, report.longrepr = "failed", f"{item.nodeid} must run here, but: {reason}"
    return report
