"""The page in a real browser: Chromium, against a hub of real parts in a process of its own."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from tests.servers import find_program, free_port, wait_for_port

_ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    folder = tmp_path_factory.mktemp("hub")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.central.serve_filled", str(folder / "hub"), str(port)],
            stdout=log, stderr=log, env=environment,
        )  # fmt: skip
    try:
        wait_for_port(port, server, 60)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        try:
            server.wait(15)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = os.environ.get("CHROMIUM") or find_program("chromium")
    if program is None:
        pytest.skip("no chromium on this machine")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, headless=True, args=_ARGUMENTS)
        yield running
        running.close()


class Watched:
    """A page, and what it asked for and complained of."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("response", lambda r: self.complaints.append(f"{r.status} {r.url}") if r.status >= 400 else None)

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)


@pytest.fixture
def watched(browser: Browser, url: str) -> Iterator[Watched]:
    context = browser.new_context(viewport={"width": 1366, "height": 768}, color_scheme="light")
    watched = Watched(context.new_page())
    watched.page.set_default_timeout(20_000)
    yield watched
    # Whatever a test looked at: nothing from outside, and nothing amiss.
    outside = [r for r in watched.requests if not r.startswith((url, url.replace("http", "ws"), "data:", "blob:"))]
    context.close()
    assert outside == []
    assert watched.complaints == []


def canvas_has(page: Page, title: str, colour: str) -> bool:
    """Whether the chart in the card `title` has pixels of the CSS colour variable."""
    found: bool = page.evaluate(
        """([title, colour]) => {
            const cards = [...document.querySelectorAll('.card.chart')];
            const card = cards.find(c => c.querySelector('b').textContent === title);
            const canvas = card && card.querySelector('canvas');
            if (!canvas || !canvas.width) return false;
            const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d');
            copy.drawImage(canvas, 0, 0);
            const hex = getComputedStyle(document.documentElement).getPropertyValue(colour).trim();
            const want = [1, 3, 5].map(i => parseInt(hex.slice(i, i + 2), 16));
            const data = copy.getImageData(0, 0, canvas.width, canvas.height).data;
            let n = 0;
            for (let i = 0; i < data.length; i += 4)
                if (data[i + 3] > 200 && want.every((w, k) => Math.abs(data[i + k] - w) <= 40)) n++;
            return n >= 20;
        }""",
        [title, colour],
    )
    return found


def wait_until_drawn(page: Page, title: str, colour: str) -> bool:
    for _ in range(60):
        if canvas_has(page, title, colour):
            return True
        page.wait_for_timeout(100)
    return False


def test_platforms_are_worst_first_and_a_click_opens_their_traces(watched: Watched, url: str) -> None:
    page = watched.page
    page.goto(url)
    rows = page.locator("tr[data-platform]")
    expect(rows).to_have_count(12)
    told = [p["name"] for p in httpx.get(f"{url}/platforms").json()["platforms"]]
    shown = [row.get_attribute("data-platform") for row in rows.all()]
    assert shown[:5] == told[:5] == ["tioman-1", "pulau-tekong", "mersing", "kuantan", "horsburgh"]
    states = [row.get_attribute("data-state") for row in rows.all()]
    assert states[:6] == ["silent", "offline", "quarantined", "never-heard", "late", "catching-up"]
    expect(page.locator(".banner")).to_contain_text("tioman-1 is silent: tide-1: nothing for 2 h")
    assert page.locator(".map path.land").count() > 10
    expect(page.locator(".map .marks a")).to_have_count(11)  # mersing has no position
    # State is told by a mark of its own shape, not by colour alone.
    marks = {state: page.locator(f'tr[data-state="{state}"] .word svg').first.inner_html() for state in set(states)}
    assert len({re.sub(r"var\\(.*?\\)", "", mark) for mark in marks.values()}) == len(marks)

    page.locator('tr[data-platform="raffles-light"]').click()
    page.wait_for_url("**/platform/raffles-light")
    expect(page.locator("h1")).to_have_text("raffles-light")
    assert wait_until_drawn(page, "Temperature", "--trace")


def test_flagged_values_have_the_colours_of_their_flags(watched: Watched, url: str) -> None:
    page = watched.page
    page.goto(f"{url}/platform/raffles-light")
    for title, flags in (("Temperature", ["--fail", "--suspect"]), ("Conductivity", ["--fail"])):
        for colour in flags:
            assert wait_until_drawn(page, title, colour), (title, colour)
    assert not canvas_has(page, "Pressure", "--fail")
    assert not canvas_has(page, "Pressure", "--suspect")
    expect(page.locator(".key", has_text="3 suspect")).to_contain_text("9 missing")


def test_what_is_on_the_page_goes_on_living(watched: Watched, url: str) -> None:
    page = watched.page
    page.goto(f"{url}/platform/raffles-light")
    now = page.locator(".card.chart", has_text="Pressure").locator(".now")
    expect(now).to_have_text(re.compile(r"\d+\.\d{3}"))
    first = now.inner_text()
    expect(now).not_to_have_text(first, timeout=20_000)


def test_a_platform_tells_profiles_gaps_problems_and_facts(watched: Watched, url: str) -> None:
    page = watched.page
    page.goto(f"{url}/platform/raffles-light")
    expect(page.locator(".charts.profile .nicegui-echart")).to_have_count(2)
    expect(page.locator(".section", has_text="20 cells of 1 m, the first at 2 m, looking up")).to_be_visible()
    expect(page.locator("body")).to_contain_text("checksum 3, noise 12")
    silences = page.locator("tr", has_text="the instrument gave nothing")
    expect(silences.first).to_contain_text("4 min 10 s")
    page.goto(f"{url}/platform/pulau-tekong")
    expect(page.locator("tr", has_text="the gateway no longer holds it")).to_contain_text("3")
    expect(page.locator("tr", has_text="still to come")).to_contain_text("5")
    expect(page.locator(".facts")).to_contain_text("driver sbe37")


def test_kinds_of_samples_are_apart_and_housekeeping_waits_until_it_is_asked_for(watched: Watched, url: str) -> None:
    page = watched.page
    page.goto(f"{url}/platform/changi")
    expect(page.locator(".charts.profile .nicegui-echart")).to_have_count(4)
    for told in ("20 cells of 1 m", "12 cells of 0.5 m", "adcp vertical beam"):
        expect(page.locator(".section", has_text=told)).to_be_visible()
    assert wait_until_drawn(page, "Pressure", "--trace")
    voltage = page.locator(".card.chart", has_text="External voltage 5")
    expect(voltage).to_have_count(0)
    page.get_by_text("3 more").click()
    expect(voltage.locator(".now")).to_have_text(re.compile(r"\d\.\d{4}"))
    assert wait_until_drawn(page, "External voltage 5", "--trace")
    page.get_by_text("3 more").click()
    expect(voltage).to_have_count(0)


def test_a_tide_is_predicted_where_the_record_is_long_enough(watched: Watched, url: str) -> None:
    page = watched.page
    page.goto(f"{url}/platform/tanjong-pagar")
    expect(page.locator("body")).to_contain_text(
        re.compile(r"constituents fitted to 3\d\.\d d of levels"), timeout=20_000
    )
    assert wait_until_drawn(page, "Tide: observed and predicted", "--trace-2")
    assert wait_until_drawn(page, "Residual: observed minus predicted", "--trace")
    page.goto(f"{url}/platform/tioman-1")
    expect(page.locator("body")).to_contain_text(
        re.compile(
            r"Not enough data yet for a tide prediction: it needs 25\.6 h of good levels, and there are 1[12]\.\d h"
        )
    )


def test_hostile_names_are_text(watched: Watched, url: str) -> None:
    page = watched.page
    page.goto(f"{url}/platform/%3Cimg%20src=x%20onerror=alert(1)%3E")
    expect(page.locator("body")).to_contain_text("Nothing was ever heard of a platform '<img src=x onerror=alert(1)>'")
    assert page.locator("main img").count() == 0


def test_a_phone_shows_it_without_scrolling_sideways(browser: Browser, url: str) -> None:
    for scheme in ("light", "dark"):
        context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme=scheme)
        page = context.new_page()
        for path, sign in (("/", "tr[data-platform]"), ("/platform/raffles-light", ".plot canvas")):
            page.goto(url + path)
            page.wait_for_selector(sign)
            page.wait_for_timeout(500)
            wide: Any = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= 390, (path, wide)
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert ground == ("rgb(246, 247, 249)" if scheme == "light" else "rgb(14, 20, 27)")
        context.close()


def test_the_docs_of_the_feed_open_without_internet(watched: Watched, url: str) -> None:
    page = watched.page
    page.goto(f"{url}/docs")
    expect(page.locator(".opblock-summary", has_text="/feed/changes")).to_be_visible()
    page.locator(".opblock-summary", has_text="/feed/snapshot").click()
    expect(page.locator("body")).to_contain_text("as the hub knew it at this cursor")
