"""The adapters in processes of their own: what they read of the environment, and what they leave untouched."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

import pytest
from hub_folder import LARGE, NAME, build, run
from hub_kinds import KINDS, MODELSCOPE, TOKEN, reach
from misbehaving_hub import MisbehavingHub, Rule
from modelscope_hub import HubConfig

from provision.errors import AccessDenied
from provision.serve import Folder, Settings

RESOLVE = """
import sys, time
from provision.errors import ProvisionError
from provision.hubs.http import HttpSettings
from provision.hubs.schemes import open_hub
from provision.hubs.settings import HubSettings
hub = open_hub(sys.argv[1], HubSettings(http=HttpSettings(user_agent="provision/test", now=time.time)))
try:
    pin = hub.resolve("acme/tiny-diffusion", None)
    print(len(hub.files(pin)), hub.location(pin, sys.argv[2]).url)
except ProvisionError as error:
    print(type(error).__name__, int(error.exit_code), error.retryable, error, "|", error.hint)
"""

each_hub = pytest.mark.parametrize("kind", KINDS, ids=str)


@pytest.fixture
def server(tmp_path):
    for kind in KINDS:
        build(tmp_path / "served", kind.scheme)
    with MisbehavingHub(Folder(tmp_path / "served"), Settings(token=TOKEN)) as server:
        yield server


def python(code, *arguments, home, **environment):
    home.mkdir(exist_ok=True)
    path = str(Path(__file__).parents[1])
    return run("python", "-c", code, *arguments, home=home, PYTHONPATH=path, **environment)


@each_hub
def test_endpoint_and_token_come_from_the_vendors_variables_and_nothing_else_is_said_or_asked(tmp_path, kind, server):
    """The retired variables are still set on many pods; they make the vendors' libraries warn."""
    mine = {kind.endpoint_variable: server.endpoint + "/", kind.token_variable: TOKEN}
    retired = {"HF_HUB_ENABLE_HF_TRANSFER": "1", "MODELSCOPE_DOMAIN": "hub.invalid"}
    telemetry = {"HF_HUB_DISABLE_TELEMETRY": "0", "CLAUDECODE": "1"}
    server.rules.append(Rule("^/api/models/", with_warning))
    done = python(RESOLVE, kind.scheme, LARGE, home=tmp_path / "home", **mine, **retired, **telemetry)
    assert done.stderr == ""
    assert done.stdout.startswith(f"9 {server.endpoint}/")
    own = rf"{kind.first}|{kind.listing}|^/[^/]+/[^/]+\.git/info/refs"
    assert [request.target for request in server.log if not re.search(own, request.target)] == []
    assert server.asked(kind.first)
    assert server.asked(kind.listing)
    assert all("provision/test" in request.headers["user-agent"] for request in server.log)
    assert list((tmp_path / "home").rglob("*")) == []


async def with_warning(honest, scope, receive, send):
    """The honest answer, with a warning that the vendor's library logs."""

    async def warned(message):
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], (b"x-hf-warning", b"topic; upgrade your client")]
        await send(message)

    await honest(scope, receive, warned)


def test_offline_mode_asks_nothing_and_says_how_to_end_it(tmp_path, server):
    done = python(RESOLVE, "hf", LARGE, home=tmp_path / "home", HF_ENDPOINT=server.endpoint, TRANSFORMERS_OFFLINE="1")
    assert done.stdout.startswith("OfflineMode 6 False ")
    assert "unset HF_HUB_OFFLINE" in done.stdout
    assert server.log == []


@each_hub
def test_the_proxies_of_the_environment_are_used(tmp_path, kind, server):
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and nobody listens
        mine = {
            kind.endpoint_variable: server.endpoint,
            kind.token_variable: TOKEN,
            "http_proxy": f"http://user:secretsecret@127.0.0.1:{bound.getsockname()[1]}",
        }
        through = python(RESOLVE, kind.scheme, LARGE, home=tmp_path / "home", **mine)
        past = python(RESOLVE, kind.scheme, LARGE, home=tmp_path / "home", **mine, no_proxy="127.0.0.1")
    assert through.stdout.startswith("Unreachable 6 True ")
    assert "secretsecret" not in through.stdout + through.stderr
    assert past.stdout.startswith("9 http")


@each_hub
def test_a_netrc_does_not_take_the_place_of_the_token(tmp_path, kind, server):
    home = tmp_path / "home"
    home.mkdir()
    (home / ".netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    (home / ".netrc").chmod(0o600)
    mine = {kind.endpoint_variable: server.endpoint, kind.token_variable: TOKEN}
    assert python(RESOLVE, kind.scheme, LARGE, home=home, **mine).stdout.startswith("9 http")
    assert {request.headers["authorization"] for request in server.asked("^/api/")} == {f"Bearer {TOKEN}"}


def test_a_saved_login_is_used(tmp_path, server):
    HubConfig(config_dir=tmp_path / "home" / ".modelscope", endpoint=server.endpoint).save_token(TOKEN)
    token = tmp_path / "home" / "hf" / "token"
    token.parent.mkdir()
    token.write_text(TOKEN + "\n")
    for kind in KINDS:
        mine = {kind.endpoint_variable: server.endpoint}
        assert python(RESOLVE, kind.scheme, LARGE, home=tmp_path / "home", **mine).stdout.startswith("9 http"), kind


@pytest.mark.parametrize(
    "damage", [b"cnowhere\nNothing\n.", b"", b"\x80\x05K\x05."], ids=["strange", "empty", "no jar"]
)
def test_a_damaged_login_says_so_instead_of_crashing(tmp_path, monkeypatch, damage):
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "cookies").write_bytes(damage)
    monkeypatch.setenv("MODELSCOPE_HOME", str(tmp_path))
    monkeypatch.delenv("MODELSCOPE_API_TOKEN", raising=False)
    with pytest.raises(AccessDenied, match="the saved ModelScope login") as caught:
        reach(MODELSCOPE, None, token=None).resolve(NAME, None)
    assert "MODELSCOPE_API_TOKEN" in caught.value.hint


@each_hub
def test_opening_a_hub_does_not_import_its_vendor(tmp_path, kind):
    code = """
import sys, time
from provision.hubs.http import HttpSettings
from provision.hubs.schemes import open_hub
from provision.hubs.settings import HubSettings
open_hub(sys.argv[1], HubSettings(http=HttpSettings(user_agent="a", now=time.time)))
print(sorted({name.partition(".")[0] for name in sys.modules} & set(sys.argv[2:])))
"""
    vendors = ("huggingface_hub", "httpx", "httpx2", "modelscope", "modelscope_hub", "requests", "urllib3")
    assert python(code, kind.scheme, *vendors, home=tmp_path / "home").stdout == "[]\n"


def test_other_users_of_the_library_keep_their_client(tmp_path, server):
    """The bounds of one question end with it, and redirects, retries and errors are the library's own again."""
    code = f"""
import time
from huggingface_hub import HfApi, get_session
from hub_kinds import HUGGINGFACE, reach
reach(HUGGINGFACE, "{server.endpoint}", token="{TOKEN}", requests=3).resolve("{NAME}", None)
api = HfApi(endpoint="{server.endpoint}", token="{TOKEN}")
print([api.model_info("{NAME}").id for _ in range(5)][-1], get_session().follow_redirects)
"""
    path = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])])
    done = run("python", "-c", code, home=tmp_path, PYTHONPATH=path)
    assert done.stdout == f"{NAME} True\n", done.stderr
