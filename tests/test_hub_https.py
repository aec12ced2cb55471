"""A plain https mirror: any web server with the same paths, asked for bytes and for nothing else."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import hub_folder
import pytest
from hub_folder import LARGE, ODD, SMALL
from hub_kinds import TOKEN, http_settings
from hypothesis import given
from hypothesis import strategies as st
from loopback_tls import Certificate, serving

from provision.errors import ExitCode, HubRefused, PathNotFound, Unreachable
from provision.hubs import Pin
from provision.hubs.address import origin_of
from provision.hubs.http import Http, Wanted
from provision.hubs.schemes import open_hub
from provision.hubs.settings import HubSettings
from provision.hubs.supply import Supply
from provision.names import path_fault, web_fault
from provision.retry import Patience, Retry


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return Certificate.made_in(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def place(tmp_path):
    return hub_folder.build(tmp_path, "the mirror")


def mirror():
    return open_hub("https", HubSettings(http=http_settings(), token=TOKEN))


def pin_of(repository):
    return mirror().resolve(repository, None)


def supply(**http):
    retry = Retry(patience=Patience(attempts=1, first_wait=0.01, longest_wait=0.01), sleep=lambda _: None)
    return Supply(lambda _: mirror(), Http(http_settings(**http)), retry)


def test_a_pin_is_made_without_a_question_and_has_no_commit():
    assert pin_of("nobody.invalid/a") == Pin(repository="nobody.invalid/a", revision="", commit=None)


def test_there_are_no_revisions_and_no_listing():
    with pytest.raises(HubRefused, match="has no revisions"):
        mirror().resolve("nobody.invalid/a", "v1")
    with pytest.raises(HubRefused, match="plain https mirror, which has no listing") as caught:
        mirror().files(pin_of("nobody.invalid/a"))
    assert caught.value.exit_code is ExitCode.REFUSED
    assert caught.value.hint


def test_every_file_comes_from_below_the_mirrors_own_path_and_no_token_goes_there(certificate, place, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("MODELSCOPE_API_TOKEN", TOKEN)
    tree = hub_folder.tree(place)
    with serving(place.parents[1], certificate) as web:
        reach, pin = supply(ca_bundle=str(certificate.bundle)), pin_of(f"{web.host}/{hub_folder.NAME}")
        got = {path: reach.read("https", pin, Wanted(path=path, size=len(data))) for path, data in tree.items()}

    assert got == tree
    assert ODD in got
    assert {unquote(target).removeprefix(f"/{hub_folder.NAME}/") for target, _ in web.log} == set(tree)
    assert TOKEN not in str(web.log)
    assert not {"Authorization", "Cookie"} & {name for _, headers in web.log for name in headers}


def test_a_path_that_was_quoted_in_the_manifest_stays_as_it_was_written(certificate, place):
    with serving(place.parents[2], certificate) as web:
        pin = pin_of(f"{web.host}/the%20mirror/{hub_folder.NAME}")
        read = supply(ca_bundle=str(certificate.bundle)).read(
            "https", pin, Wanted(path=SMALL, size=len((place / SMALL).read_bytes()))
        )

    assert read == (place / SMALL).read_bytes()


def test_a_server_without_ranges_still_gives_a_part(certificate, place):
    data = (place / LARGE).read_bytes()
    with serving(place, certificate) as web:
        wanted = Wanted(path=LARGE, size=len(data), start=1000, end=5000)
        assert supply(ca_bundle=str(certificate.bundle)).read("https", pin_of(web.host), wanted) == data[1000:5000]


def test_what_the_mirror_does_not_have_is_not_found(certificate, place):
    with serving(place, certificate) as web, pytest.raises(PathNotFound) as caught:
        supply(ca_bundle=str(certificate.bundle)).read("https", pin_of(web.host), Wanted(path="no.bin", size=1))

    assert web.host in caught.value.message
    assert "no.bin" in caught.value.message


def test_a_mirror_whose_certificate_nobody_vouches_for_is_not_believed(certificate, place):
    with serving(place, certificate) as web, pytest.raises(Unreachable, match="certificate"):
        supply().read("https", pin_of(web.host), Wanted(path=SMALL, size=1))
    assert web.log == []


@given(
    st.text("aZ0.-:/%_@~!$'日 ", max_size=20).map(lambda rest: f"example.org{rest}").filter(lambda p: not web_fault(p)),
    st.text(min_size=1, max_size=20).filter(lambda p: not path_fault(p)),
)
def test_every_address_stays_on_the_mirrors_own_host(repository, path):
    location = mirror().location(pin_of(repository), path)

    assert origin_of(location.url) == origin_of(f"https://{repository.partition('/')[0]}")
    assert urlsplit(location.url).query == urlsplit(location.url).fragment == ""
    assert unquote(location.url).endswith(f"/{path}")
    assert location.headers == ()
