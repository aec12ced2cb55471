"""Who we say we are: every request of `provision`, to a hub or to its CDN, names us and our version."""

from __future__ import annotations

import pytest
from hub_folder import NAME, build, run
from hub_kinds import KINDS
from misbehaving_hub import MisbehavingHub

from provision import __version__
from provision.serve import Folder


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_every_request_names_us(tmp_path, kind):
    build(tmp_path / "served", kind.scheme)
    project = tmp_path / "tiny.yaml"
    project.write_text(f"project: tiny\nmodels:\n  - source: {kind.scheme}://{NAME}\n    allow_pickle: true\n")
    (tmp_path / "home").mkdir()
    with MisbehavingHub(Folder(tmp_path / "served")) as hub:
        done = run("provision", "lock", str(project), home=tmp_path / "home", **{kind.endpoint_variable: hub.endpoint})
        assert done.returncode == 0, done.stderr
        agents = {(request.place, request.headers.get("User-Agent", "")) for request in hub.log}
    assert {place for place, _ in agents} == {"hub", "cdn"}
    assert [agent for _, agent in agents if f"provision/{__version__}" not in agent] == []
