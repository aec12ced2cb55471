"""The page of a pod in a real browser: what it shows in each state, on what screens, and what it lets nobody do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from attendant_bed import HOSTILE, NOW, TOKEN, AttendantBed, running
from browser import PROGRAM, Browser

from provision.pods.attendant.account import Ending
from provision.pods.status import Phase

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.system

G = 10**9
DRAWN = "new Promise(done => { const look = () => %s ? done(true) : setTimeout(look, 20); look(); })"
SHOWN = "!document.getElementById('job').hidden"
LINK = "document.getElementById('link').innerText"


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Browser]:
    assert PROGRAM, "chromium is needed: apt-get install chromium"
    with Browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture
def bed(tmp_path):
    bed = AttendantBed(tmp_path)
    with bed.service:
        yield bed


def filling(bed: AttendantBed) -> None:
    bed.now = NOW + 372
    files = (("models/high_noise.safetensors", 14 * G, 6 * G), (HOSTILE, 14 * G, 5 * G))
    bed.show(Phase.FILLING, total=36 * G, done=13 * G, rate=2e8, finished=2, running=running(*files))
    bed.account.note(HOSTILE)


def verifying(bed: AttendantBed) -> None:
    filling(bed)
    bed.show(Phase.VERIFYING, total=36 * G, done=27 * G, rate=1e9, finished=4, running=running(("vae", 8 * G, G)))


def well(bed: AttendantBed) -> None:
    verifying(bed)
    bed.account.found({"ok": 6, "missing": 0}, [])
    bed.end(Ending(exit_code=0), reports={".html": "<p>the report"})


def badly(bed: AttendantBed) -> None:
    verifying(bed)
    bed.account.found({"ok": 4, "digest": 1, "missing": 1}, [{"target": HOSTILE, "state": "digest", "detail": HOSTILE}])
    bed.end(Ending(exit_code=3, error=HOSTILE, hint="fill again: it repairs"))


STATES = {
    "waiting": (lambda bed: bed.show(Phase.WAITING), "waiting for the volume · wan22-i2v"),
    "filling": (filling, "36 % filling · wan22-i2v"),
    "verifying": (verifying, "75 % verifying · wan22-i2v"),
    "well": (well, "done · wan22-i2v"),
    "badly": (badly, "failed · wan22-i2v"),
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_each_state_fits_every_screen_and_asks_nobody_else(browser, bed, state, width, dark) -> None:
    put, title = STATES[state]
    put(bed)
    browser.look(width=width, dark=dark)
    browser.open(f"{bed.address}/#{TOKEN}")
    browser.run(DRAWN % SHOWN)

    assert browser.run("document.title") == title
    assert browser.told == []
    assert {address.partition("#")[0] for address in browser.asked} <= {
        f"{bed.address}/", f"{bed.address}/status?page", f"{bed.address}/result?page", "data:,"
    }  # fmt: skip
    assert browser.run("document.documentElement.scrollWidth <= innerWidth")
    assert browser.run("document.querySelectorAll('main img, main script').length") == 0


def test_what_comes_from_outside_is_shown_and_does_nothing(browser, bed) -> None:
    badly(bed)
    browser.look(width=1280)
    browser.open(f"{bed.address}/#{TOKEN}")
    browser.run(DRAWN % SHOWN)

    assert "<script>" in browser.run("document.getElementById('findings').innerText")
    assert "<script>" in browser.run("document.getElementById('notes').innerText")
    assert "\u202e" not in browser.run("document.body.innerText")
    assert browser.run("document.title") == "failed · wan22-i2v"


def test_figures_are_what_the_pod_says(browser, bed) -> None:
    filling(bed)
    browser.look(width=1280)
    browser.open(f"{bed.address}/#{TOKEN}")
    browser.run(DRAWN % SHOWN)
    text = browser.run("document.querySelector('main').innerText")

    for words in ("36 %", "13.0 GB of 36.0 GB", "200.0 MB/s", "1 min 55 s", "6 min 12 s", "$0.006", "at $0.06 an hour"):
        assert words in text
    assert browser.run("document.getElementById('all').value") == pytest.approx(13 / 36)
    assert browser.run("[...document.querySelectorAll('progress')].every(bar => bar.getAttribute('aria-label'))")


def test_it_is_live_and_nothing_jumps_when_a_file_is_done(browser, bed) -> None:
    filling(bed)
    browser.look(width=1280)
    browser.open(f"{bed.address}/#{TOKEN}")
    browser.run(DRAWN % SHOWN)
    before = browser.run("document.getElementById('notes').getBoundingClientRect().top")
    bed.show(Phase.FILLING, done=20 * G, finished=3, running=running(("models/last", G, 0)))
    browser.run(DRAWN % "document.getElementById('finished').innerText === '3'")

    assert browser.run("document.getElementById('notes').getBoundingClientRect().top") == before
    assert browser.run("document.querySelectorAll('#running li').length") == 1


def test_a_lost_connection_is_said_and_the_last_word_stays(browser, bed) -> None:
    filling(bed)
    browser.look(width=360)
    browser.open(f"{bed.address}/#{TOKEN}")
    browser.run(DRAWN % SHOWN)
    bed.service.shutdown()
    bed.service.server_close()
    browser.run(DRAWN % "document.body.classList.contains('stale')")

    assert browser.run(LINK).startswith("Connection lost at ")
    assert "13.0 GB of 36.0 GB" in browser.run("document.querySelector('main').innerText")


def test_a_pod_that_is_gone_after_its_job_has_not_failed(browser, bed) -> None:
    well(bed)
    browser.look(width=360)
    browser.open(f"{bed.address}/#{TOKEN}")
    browser.run(DRAWN % "!document.getElementById('report').hidden")
    assert bed.service.viewed.is_set()
    bed.service.shutdown()
    bed.service.server_close()
    browser.run(DRAWN % f"{LINK}.startsWith('The pod has been given back')")

    assert browser.run("document.title") == "done · wan22-i2v"
    assert browser.run("fetch(document.getElementById('download').href).then(a => a.text(), () => 'refused')")


@pytest.mark.parametrize("fragment", ["", "#wrong"])
def test_without_the_token_it_says_what_is_missing(browser, bed, fragment) -> None:
    filling(bed)
    browser.look(width=360)
    browser.open("about:blank")
    browser.open(f"{bed.address}/{fragment}")
    browser.run(DRAWN % f"{LINK}.includes('token')")

    assert not browser.run(SHOWN)
