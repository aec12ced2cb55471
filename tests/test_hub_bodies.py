"""Bodies of files: what is taken for a web page, and how long an answer may take."""

from __future__ import annotations

import pytest
from hub_kinds import http_settings
from raw_server import RawServer, head

from provision.errors import NotAHub
from provision.hubs import Location
from provision.hubs.http import Http, Wanted

DATA = b"0123456789"


def read(server, wanted, **settings):
    return Http(http_settings(**settings)).read(Location(url=f"{server.address}/a.bin"), wanted)


PAGE = head("200 OK", Content_Type="text/html")  # ends with the connection: no length is told


@pytest.mark.parametrize("path", ["README.md", "notes.txt", "config.json", "LICENSE", "docs/index.html"])
def test_text_that_a_server_takes_for_a_page_is_left_to_its_digest(path):
    with RawServer(PAGE + DATA) as server:
        assert read(server, Wanted(path=path, size=10)) == DATA


@pytest.mark.parametrize("path", ["a.safetensors", "a.gguf", "a.bin", "v1.0/a.pt"])
def test_a_page_of_unknown_length_is_no_model(path):
    with RawServer(PAGE + DATA) as server, pytest.raises(NotAHub):
        read(server, Wanted(path=path, size=10))


def test_a_page_of_another_length_is_no_file_at_all():
    told = head("200 OK", Content_Type="text/html", Content_Length=4)
    with RawServer(told + b"<htm") as server, pytest.raises(NotAHub):
        read(server, Wanted(path="README.md", size=10))
