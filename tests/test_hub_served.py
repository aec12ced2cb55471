"""What `provision serve` answers to requests that are not well made."""

from __future__ import annotations

import pytest
from hub_folder import NAME, build
from hub_kinds import HUGGINGFACE, TOKEN
from misbehaving_hub import MisbehavingHub
from urllib3 import request

from provision.serve import Folder, Settings


@pytest.mark.parametrize(
    ("query", "authorization", "status"),
    [("?cursor=%C3%A9", f"Bearer {TOKEN}", 400), ("?cursor=x", f"Bearer {TOKEN}", 400), ("", "Basic \xe9\xe9", 401)],
    ids=["a cursor beyond ASCII", "a cursor that is none", "a password beyond ASCII"],
)
def test_what_cannot_be_read_is_refused_and_no_fault_of_the_server(tmp_path, query, authorization, status):
    build(tmp_path, HUGGINGFACE.scheme)
    with MisbehavingHub(Folder(tmp_path), Settings(token=TOKEN)) as hub:
        url = f"{hub.endpoint}/api/models/{NAME}/tree/main{query}"
        assert request("GET", url, headers={"Authorization": authorization}).status == status
