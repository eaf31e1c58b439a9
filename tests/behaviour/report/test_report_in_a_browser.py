"""The report in a real browser: nothing overlaps, nothing is cut off, nothing is loaded."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from asyncbatch._results._limits import REASONS, Limits
from asyncbatch._results._results import Results
from asyncbatch._values._errors import FailureKind
from asyncbatch._values._result import Result
from asyncbatch._values._timing import Attempt, Timing
from tests import chromium
from tests.samples import failure, success

pytestmark = [pytest.mark.extras, pytest.mark.may_block]

T0 = 1_700_000_000.0
PHONE, DESK, A4 = 400, 1400, 794

# Each piece of text with the rectangles that it takes, but for what only screen readers get.
LAYOUT = """(() => {
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), texts = [];
  const hidden = 'caption,.hidden' + (innerWidth <= 640 ? ',thead' : '');
  while (walk.nextNode()) {
    const node = walk.currentNode;
    if (!node.data.trim() || node.parentElement.closest(hidden)) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const box of range.getClientRects())
      if (box.width > 0.5) texts.push([node.data.trim().slice(0, 40), box.left, box.top,
                                       box.right, box.bottom]);
  }
  const cut = [...document.querySelectorAll('main *')].filter(each =>
    !each.closest(hidden) && !each.closest('svg')
    && each.scrollWidth > each.clientWidth + 1 && getComputedStyle(each).display != 'inline');
  return {texts, cut: cut.map(each => each.outerHTML.slice(0, 120)), width: innerWidth,
          page: document.documentElement.scrollWidth,
          background: getComputedStyle(document.body).backgroundColor,
          bars: [...document.querySelectorAll('svg')].filter(
            each => each.getBoundingClientRect().width < 20).length};
})()"""


def mixed(count: int) -> list[Result]:
    """Return results of all sorts, with long and with broken texts."""
    dice = random.Random(1)
    results: list[Result] = []
    for n in range(count):
        host = f"{'a-very-long-name-' * (n % 4)}h{n % 30}.example.test"
        url = f"http://{host}/{'path/' * (n % 25)}{n}?{'q' * (n % 200)}"
        seconds = dice.expovariate(3)
        timing = Timing(
            queued=dice.random(), throttled=dice.random(), dns=0.01, connect=0.02, tls=0.03,
            send=0.001, wait=seconds, receive=0.05,
        )  # fmt: skip
        fields: dict[str, Any] = {"item": url, "url": httpx.URL(url), "timing": timing}
        fields |= {"started": T0 + n * 0.02, "elapsed": seconds + 0.2}
        if n % 11 == 0:
            earlier = Attempt(status_code=503, error=httpx.ReadError("x"), timing=timing, delay=0.5)
            fields |= {"attempts": 2, "history": (earlier,), "elapsed": 2 * seconds + 1.0}
        if n % 5 == 0:
            kinds = list(FailureKind)
            error = httpx.ConnectError(f"{'long and longer ' * (n % 12)}{'x' * (n % 90)} refused")
            results.append(failure(n, kind=kinds[n % len(kinds)], error=error, **fields))
        else:
            results.append(success(n, status=(200, 201, 206, 301)[n % 4], body=b"x" * n, **fields))
    return results


def pages() -> dict[str, Results]:
    """Return what is shown, by its name."""
    hosts = {f"h{n}.example.test": dict.fromkeys(REASONS, 11.0 - n) for n in range(5)}
    waits = {reason: 20.0 + n for n, reason in enumerate(REASONS)}
    limits = Limits(slots=60, slots_full=7.0, waits=waits, hosts=hosts)
    strange = failure(
        item="http://host.test/<b>\u202e\u0645\u0631\u062d\u0628\u0627/" + "W" * 3000,
        url=None,
        error=httpx.ConnectError("\u0645\u0631\u062d " * 99 + "<script>" * 99),
        elapsed=1e6,
        started=T0,
    )
    return {
        "mixed": Results(mixed(600), duration=12.0, limits=limits),
        "empty": Results([], duration=0.0),
        "one": Results([success(started=T0, elapsed=1.0)], duration=1.0),
        "strange": Results([strange], duration=1e6),
        "huge": Results(
            [success(n, started=T0, elapsed=99_999.0) for n in range(3)],
            duration=123_456_789.0,
        ),
    }


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Browser]:
    """Run one browser for all of these tests."""
    executable = chromium.find()
    if executable is None:
        pytest.skip("there is no Chromium: apt-get install chromium")
    with chromium.running(executable, tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture(scope="module", params=list(pages()))
def page(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a report."""
    path = tmp_path_factory.mktemp("pages") / f"{request.param}.html"
    pages()[request.param].report(path)
    return path


def overlapping(texts: list[list[Any]]) -> list[tuple[str, str]]:
    """Return the pairs of texts that take the same place."""
    found = []
    for place, (one, left, top, right, bottom) in enumerate(texts):
        for other, *box in texts[place + 1 :]:
            wide = min(right, box[2]) - max(left, box[0])
            high = min(bottom, box[3]) - max(top, box[1])
            # Boxes of lines reach into each other by the height of the letters' ends.
            if wide > 1 and high > 3:
                found.append((one, other))
    return found


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, DESK])
def test_nothing_overlaps_and_nothing_is_cut_off(
    browser: chromium.Browser, page: Path, width: int, dark: bool
) -> None:
    """On a phone and on a desk, by day and by night."""
    browser.show(page, width=width, dark=dark)

    layout = browser.evaluate(LAYOUT)

    assert layout["width"] == width
    assert layout["page"] <= width
    assert layout["cut"] == []
    assert layout["bars"] == 0
    assert layout["texts"]
    outside = [text for text, left, _, right, _ in layout["texts"] if left < 0 or right > width]
    assert outside == []
    assert overlapping(layout["texts"]) == []
    is_dark = layout["background"] != "rgb(255, 255, 255)"
    assert is_dark is dark


def test_nothing_is_loaded(browser: chromium.Browser, page: Path) -> None:
    """The page is all there is, whatever texts of others are in it."""
    browser.show(page, width=DESK)

    assert [url for url in browser.asked_for if not url.startswith("data:")] == [page.as_uri()]
    assert browser.evaluate("document.scripts.length") == 0


def test_it_is_printed_black_on_white(browser: chromium.Browser, page: Path) -> None:
    """On paper of a usual size, whatever the theme is."""
    browser.show(page, width=A4, dark=True, printed=True)

    layout = browser.evaluate(LAYOUT)

    assert layout["background"] == "rgb(255, 255, 255)"
    assert layout["page"] <= A4
    assert overlapping(layout["texts"]) == []
    assert browser.pdf().startswith(b"%PDF")


def test_the_answer_is_on_the_first_screen(browser: chromium.Browser, tmp_path: Path) -> None:
    """On a phone too: why it was slow, without scrolling."""
    pages()["mixed"].report(tmp_path / "page.html")
    for width in (PHONE, DESK):
        browser.show(tmp_path / "page.html", width=width)

        bottom = browser.evaluate("document.querySelector('.said').getBoundingClientRect().bottom")

        assert bottom < 900


def test_it_is_valid_html(page: Path) -> None:
    """By a parser that stops at the first error of the specification."""
    html5lib = pytest.importorskip("html5lib")

    html5lib.HTMLParser(strict=True).parse(page.read_text(encoding="utf-8"))
