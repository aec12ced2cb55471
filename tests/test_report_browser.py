"""The page in a real browser, opened from a file: what it shows, what can be done with it, on what screens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from browser import PROGRAM, Browser
from report_material import HOSTILE, MADE_AT, WHERE, everything, locks, lost

from provision.report.page import page
from provision.verification.findings import State

pytestmark = pytest.mark.system

VISIBLE = "[...document.querySelectorAll('tbody tr')].filter(row => !row.classList.contains('off-row')).length"
SEARCH = """(async words => {
  const box = document.getElementById('words');
  box.value = words;
  box.dispatchEvent(new Event('input'));
  await new Promise(done => setTimeout(done, 200));  // the page waits until nobody types
  return document.getElementById('shown').textContent;
})"""
CONTRAST = """[...document.querySelectorAll('.badge')].map(badge => {
  const parts = text => text.match(/[\\d.]+/g).map(Number);
  const linear = c => c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4;
  const light = colour => colour.slice(0, 3).map(c => linear(c / 255))
    .reduce((sum, c, index) => sum + c * [.2126, .7152, .0722][index], 0);
  const style = getComputedStyle(badge);
  let ground = style.backgroundColor;
  if (parts(ground)[3] === 0) ground = getComputedStyle(badge.closest('article')).backgroundColor;
  const [one, two] = [light(parts(style.color)), light(parts(ground))].sort((a, b) => b - a);
  return (one + .05) / (two + .05);
})"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Browser]:
    assert PROGRAM, "chromium is needed: apt-get install chromium"
    with Browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture
def address(tmp_path: Path) -> str:
    """The page with everything on it, in a folder."""
    (tmp_path / "report.html").write_text(page(everything(), locks(), MADE_AT, WHERE), encoding="utf-8")
    return (tmp_path / "report.html").as_uri()


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_opens_without_a_complaint_and_asks_for_nothing(browser, address, width, dark):
    browser.look(width=width, dark=dark)
    browser.open(address)

    assert browser.told == []
    assert browser.asked == [address]
    assert browser.run("document.querySelector('h1').innerText").endswith("6 of 9 files are not as promised")
    assert browser.run("document.documentElement.scrollWidth <= innerWidth")


def test_no_long_word_runs_out_of_its_card_on_a_phone(browser: Browser, tmp_path: Path):
    long = "/a-very-long-path/" + "0123456789_" * 30
    findings = tuple(replace(f, detail=long) for f in everything().findings)
    notes = tuple(replace(note, text=long) for note in everything().notes)
    hostile = replace(everything(), volume=long, findings=findings, notes=notes)
    (tmp_path / "long.html").write_text(page(hostile, locks(), MADE_AT), encoding="utf-8")
    outside = """[...document.querySelectorAll('article *, #notes *, p, h1 *')].filter(e => {
      const frame = e.closest('article') || document.body;
      const box = e.getBoundingClientRect();
      return box.right > frame.getBoundingClientRect().right + 1 || e.scrollWidth > e.clientWidth + 1 && e.clientWidth;
    }).filter(e => !e.closest('svg')).map(e => e.outerHTML.slice(0, 80))"""

    browser.look(width=390)
    browser.open((tmp_path / "long.html").as_uri())
    browser.run("document.querySelectorAll('details').forEach(e => { e.open = true; })")

    assert browser.run(outside) == []


def test_no_name_is_run_or_becomes_an_element(browser: Browser, address: str):
    browser.look(width=1280)
    browser.open(address)

    assert browser.run("document.scripts.length") == 1
    assert browser.run("document.images.length") == 0
    assert browser.run("[...document.querySelectorAll('code')].map(e => e.textContent)").count(HOSTILE) == 2


def test_the_map_that_fits_the_screen_is_the_one_shown(browser: Browser, address: str):
    shown = "[...document.querySelectorAll('.map')].filter(m => m.getClientRects().length).map(m => m.classList[1])"

    for width, which in ((1280, "wide"), (360, "tall")):
        browser.look(width=width)
        browser.open(address)
        assert browser.run(shown) == [which]


@pytest.mark.parametrize("width", [1280, 360])
def test_words_stay_inside_their_boxes(browser: Browser, tmp_path: Path, width: int):
    outside = """[...document.querySelectorAll('.tile')].filter(t => t.getClientRects().length).flatMap(tile => {
      const box = tile.querySelector('.face').getBoundingClientRect();
      return [...tile.querySelectorAll('text')].filter(text => {
        const at = text.getBoundingClientRect();
        return at.right > box.right + 1 || at.bottom > box.bottom + 3;
      }).map(text => text.textContent);
    })"""
    names = [f"{'Model' * (n % 5 + 1)}_MMM_{n}.fp16.safetensors" for n in range(40)]
    findings = tuple(
        replace(f, model=f"m{n % 3}", target=name, size=4**n % 999_999_937)
        for n, (f, name) in enumerate(zip(lost(40).findings, names, strict=True))
    )
    every = replace(everything(), findings=(*everything().findings, *(replace(f, state=State.OK) for f in findings)))
    (tmp_path / "many.html").write_text(page(replace(every, findings=findings), (), MADE_AT), encoding="utf-8")
    (tmp_path / "every.html").write_text(page(every, locks(), MADE_AT), encoding="utf-8")

    browser.look(width=width)
    for name in ("many", "every"):
        browser.open((tmp_path / f"{name}.html").as_uri())
        assert browser.run("document.querySelectorAll('.tile text').length") > 20
        assert browser.run(outside) == []


def test_search_leaves_what_has_all_the_words(browser: Browser, address: str):
    browser.look(width=1280)
    browser.open(address)

    assert browser.run(f"{SEARCH}('SDXL f16')") == "3 of 10 files"
    assert browser.run(VISIBLE) == 3
    assert browser.run("document.querySelectorAll('.model:not([hidden])').length") == 1
    assert browser.run("document.querySelectorAll('.trouble:not([hidden])').length") == 3
    assert browser.run("document.querySelectorAll('.map.wide .tile:not(.off)').length") == 3

    assert browser.run(f"{SEARCH}('no such thing')") == "0 of 10 files"
    assert browser.run("document.getElementById('nothing').hidden") is False

    assert browser.run(f"{SEARCH}('')") == "10 of 10 files"


def test_a_state_can_be_switched_off(browser: Browser, address: str):
    browser.look(width=1280)
    browser.open(address)

    browser.run("document.querySelector('#states input[value=missing]').click()")

    assert browser.run(VISIBLE) == 9
    assert browser.run("document.querySelectorAll('.trouble[data-state=missing]:not([hidden])').length") == 0


def test_a_box_of_the_map_leads_to_its_file(browser: Browser, address: str):
    browser.look(width=1280)
    browser.open(address)

    row = browser.run(
        "(async () => { const tile = document.querySelector('.map.wide .tile.missing');"
        " tile.dispatchEvent(new MouseEvent('click', {bubbles: true, cancelable: true}));"
        " await new Promise(done => addEventListener('hashchange', () => setTimeout(done)));"
        " return tile.dataset.row; })()"
    )

    assert browser.run("location.hash") == f"#{row}"
    assert browser.run(f"document.getElementById('{row}').checkVisibility()") is True


def test_the_keyboard_reaches_the_search_and_walks_over_the_map(browser: Browser, address: str):
    browser.look(width=1280)
    browser.open(address)

    browser.press("Tab")
    assert browser.run("document.activeElement.id") == "words"

    browser.run("document.querySelector('.map.wide a').focus()")
    browser.press("ArrowRight")
    browser.press("ArrowRight")
    assert browser.run("document.activeElement.classList.contains('tile')") is True


def test_without_a_script_everything_is_shown_and_nothing_pretends_to_work(browser: Browser, address: str):
    browser.look(width=1280, script=False)
    browser.open(address)
    browser.look(width=1280)  # the page's own script has had its chance

    assert browser.run("document.getElementById('filter').getClientRects().length") == 0
    assert browser.run("document.querySelector('#states input').getClientRects().length") == 0
    assert browser.run(VISIBLE) == 10
    assert browser.run("document.querySelectorAll('.map.wide .tile').length") == 10


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_words_are_easy_to_read_on_every_colour(browser, address, dark):
    """WCAG 2.2, 1.4.3: 4.5 to 1."""
    browser.look(width=1280, dark=dark)
    browser.open(address)

    ratios = browser.run(CONTRAST)

    assert len(ratios) > 15
    assert min(ratios) >= 4.5


def test_it_can_be_printed(browser: Browser, address: str):
    browser.look(width=1280, dark=True)
    browser.open(address)

    paper = browser.paper()

    assert paper.startswith(b"%PDF")
    assert paper.count(b"/Type /Page\n") in range(1, 7)


def test_ten_thousand_files_can_be_searched(browser: Browser, tmp_path: Path):
    path = tmp_path / "large.html"
    findings = tuple(replace(f, model=f"m{n % 10}", size=n * n) for n, f in enumerate(lost(10_000).findings))
    path.write_text(page(replace(lost(1), findings=findings), (), MADE_AT), encoding="utf-8")
    browser.look(width=1280)
    browser.open(path.as_uri())

    assert browser.run(f"{SEARCH}('/777.bin')") == "1 of 10,000 files"
    assert browser.run("performance.getEntriesByType('navigation')[0].domComplete") < 10_000
    assert browser.told == []
