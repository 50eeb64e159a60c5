"""Take the pictures of `docs/images` from a running hub, or from a running gateway:

    python docs/make_screenshots.py http://127.0.0.1:8080 [folder]
    python docs/make_screenshots.py station.toml [folder]

Needs Playwright and a Chromium (`CHROMIUM`, else /usr/bin/chromium). For each kind of page the platform that shows most
is chosen: one with flags, one with profiles, one with a tide. Of a gateway the screen of `tidegate gateway top` is
taken, with its worst instrument chosen, and the bytes of its best.
"""

import asyncio
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Page, sync_playwright

from gateway.control import storage_directory
from gateway.screen import Top

_ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
_LAPTOP = {"width": 1366, "height": 768}
_TERMINAL = {"width": 1000, "height": 640}
_PHONE = {"width": 390, "height": 844}


@contextmanager
def chromium() -> Iterator[Any]:
    """A headless Chromium that asks nobody for anything but the pages it is given."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), headless=True, args=_ARGUMENTS
        )
        try:
            yield browser
        finally:
            browser.close()


def take(url: str, folder: Path) -> None:
    """All pictures of the hub at `url`."""
    platforms = httpx.get(f"{url}/platforms", timeout=30).json()["platforms"]
    kinds = {
        kind: [p["name"] for p in platforms if kind in {i["kind"] for i in p["instruments"]}]
        for kind in _kinds(platforms)
    }
    flagged = max(platforms, key=lambda p: p["qc"].get("fail", 0) + p["qc"].get("suspect", 0))["name"]
    tide = max(
        (p for p in platforms if any(i["kind"] == "tide_gauge" for i in p["instruments"])),
        key=lambda p: max(i["samples"] * (i["interval_s"] or 0) for i in p["instruments"]),
        default=None,
    )
    with chromium() as browser:
        for scheme in ("light", "dark"):
            suffix = "" if scheme == "light" else "-dark"
            with _page(browser, _LAPTOP, scheme) as page:
                _open(page, f"{url}/", "tr[data-platform]")
                page.screenshot(path=folder / f"overview{suffix}.png", full_page=True)
                _open(page, f"{url}/platform/{flagged}", ".plot canvas")
                page.screenshot(path=folder / f"platform{suffix}.png", full_page=True)
        with _page(browser, _LAPTOP, "light") as page:
            for name in kinds.get("adcp", [])[:1]:
                _open(page, f"{url}/platform/{name}", ".charts.profile canvas")
                page.locator(".charts.profile").first.locator("xpath=..").screenshot(path=folder / "adcp.png")
            if tide is not None:
                _open(page, f"{url}/platform/{tide['name']}", ".plot canvas")
                page.screenshot(path=folder / "tide.png", full_page=True)
        with _page(browser, _PHONE, "light") as page:
            _open(page, f"{url}/", "tr[data-platform]")
            page.screenshot(path=folder / "phone.png", full_page=True)
            _open(page, f"{url}/platform/{flagged}", ".plot canvas")
            page.screenshot(path=folder / "phone-platform.png")


def take_screen(config: Path, folder: Path) -> None:
    """The pictures of the terminal screen of the gateway that runs with the file `config`."""
    pictures = asyncio.run(_screens(config))
    with tempfile.TemporaryDirectory() as scratch, chromium() as browser, _page(browser, _TERMINAL, "dark") as page:
        for name, svg in pictures.items():
            drawn = Path(scratch) / f"{name}.svg"
            drawn.write_text(svg)
            page.goto(drawn.as_uri())
            page.locator("svg").first.screenshot(path=folder / f"{name}.png")


async def _screens(config: Path) -> dict[str, str]:
    """By name, the drawings of the screen at 80 columns and 24 lines."""
    pictures = {}
    app = Top(storage_directory(config), config)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause(2.5)
        pictures["top"] = app.export_screenshot(title=f"tidegate gateway top {config.name}")
        await pilot.press("end", "r")
        await pilot.pause(6.0)
        pictures["top-raw"] = app.export_screenshot(title=f"tidegate gateway top {config.name}")
    return pictures


def _kinds(platforms: list[dict[str, Any]]) -> set[str]:
    return {i["kind"] for p in platforms for i in p["instruments"]}


@contextmanager
def _page(browser: Any, size: dict[str, int], scheme: str) -> Iterator[Page]:
    context = browser.new_context(viewport=size, color_scheme=scheme, device_scale_factor=1, timezone_id="UTC")
    try:
        yield context.new_page()
    finally:
        context.close()


def _open(page: Page, url: str, until: str) -> None:
    page.goto(url)
    page.wait_for_selector(until, timeout=20_000)
    page.wait_for_timeout(2500)  # until the charts are drawn


def main() -> None:
    """The command line."""
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    folder = Path(sys.argv[2]) if len(sys.argv) == 3 else Path(__file__).parent / "images"
    folder.mkdir(parents=True, exist_ok=True)
    if sys.argv[1].endswith(".toml"):
        take_screen(Path(sys.argv[1]), folder)
    else:
        take(sys.argv[1].rstrip("/"), folder)


if __name__ == "__main__":
    main()
