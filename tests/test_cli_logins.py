"""What the environment says of endpoints, tokens and proxies: decided as the libraries decide that are not imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from fill_bed import PLAIN, SMALL, file_of, lock_of
from hub_folder import NAME, build
from hub_folder import run as run_alone
from hub_kinds import HUGGINGFACE, KINDS, MODELSCOPE, TOKEN
from huggingface_hub import errors
from misbehaving_hub import MisbehavingHub
from modelscope_hub import HubConfig
from small_volume import DATA, filled_volume
from small_volume import lock_of as promised_lock

from provision.cli import logins, run, settings
from provision.errors import ExitCode
from provision.lock import dumps
from provision.serve import Folder, Settings

ROOT = Path(__file__).parents[1]

ASKED = """
import json, os, sys, time, warnings
from contextlib import suppress
warnings.simplefilter("ignore")
for library in ("httpx", "httpcore", "httpx2", "httpcore2", "yaml", "tqdm", "filelock"):  # what huggingface_hub imports
    with suppress(ImportError):
        __import__(library)
from modelscope_hub import HubConfig
from provision.cli import logins
from provision.hubs import Pin
from provision.hubs.http import HttpSettings
from provision.hubs.schemes import open_hub


def ours(scheme, settings):
    pin = Pin(repository="acme/a", revision="main", commit=None)
    location = open_hub(scheme, settings).location(pin, "b.bin")
    return [location.url, dict(location.headers).get("Authorization")]


def theirs(scheme, settings):
    if scheme == "hf":
        from huggingface_hub import hf_hub_url
        from huggingface_hub.utils import build_hf_headers
        return [hf_hub_url("acme/a", "b.bin", revision="main"), build_hf_headers().get("authorization")]
    library = HubConfig()
    address = f"{library.endpoint}/api/v1/models/acme/a/repo?Revision=main&FilePath=b.bin"
    return [address, f"Bearer {library.token}" if library.token else None]


def told(answer, *asked):
    try:
        return answer(*asked)
    except Exception as error:
        return type(error).__name__


for line in sys.stdin:  # each in a process of its own: huggingface_hub reads most at its import
    row = json.loads(line)
    if not (child := os.fork()):
        os.environ.clear()
        os.environ.update(row["environment"])
        os.makedirs(here := os.path.expanduser("~/here"), exist_ok=True)
        os.chdir(here)
        settings = logins.hub_settings(row["scheme"], HttpSettings(user_agent="a", now=time.time))
        mine, library = told(ours, row["scheme"], settings), told(theirs, row["scheme"], settings)
        asked = settings.endpoint is None and settings.token is None
        print(json.dumps({"ours": mine, "theirs": library, "asked": asked, "shown": repr(settings)}), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """An environment, and the files of a home ("~" in a value is that home), in whose folder "here" we are.

    `asked` says whether the library decides, `refused` which error it makes of it.
    """

    scheme: str
    environment: dict[str, str] = field(default_factory=dict)
    saved: tuple[str, ...] = ()
    asked: bool = False
    refused: str = ""

    def __str__(self) -> str:
        return " ".join([self.scheme, *map("=".join, self.environment.items()), *self.saved]).replace(TOKEN, "T")


def huggingface(*saved: str, asked: bool = False, refused: str = "", **environment: str) -> Row:
    return Row(scheme="hf", environment=environment, saved=saved, asked=asked, refused=refused)


def modelscope(*saved: str, asked: bool = False, refused: str = "", **environment: str) -> Row:
    return Row(scheme="modelscope", environment=environment, saved=saved, asked=asked, refused=refused)


HERE = "http://127.0.0.1:8000"
LOGIN = ".cache/huggingface/token"
COOKIES = ".modelscope/credentials/cookies"
NO_EXCHANGE = "AccessDenied" if hasattr(errors, "OIDCError") else ""
"""Older releases of huggingface_hub do not know the variable."""

ROWS = (
    huggingface(),
    huggingface(HF_TOKEN=TOKEN),
    huggingface(HF_TOKEN=TOKEN, HF_ENDPOINT=f"{HERE}/hub//"),
    huggingface(HF_TOKEN=""),
    huggingface(HF_TOKEN=f"{TOKEN}\n", asked=True),
    huggingface(HF_ENDPOINT="", asked=True, refused="NotAHub"),
    huggingface(HF_ENDPOINT="http://me@127.0.0.1", refused="NotAHub"),
    huggingface(LOGIN, asked=True),
    huggingface(LOGIN, HF_TOKEN=TOKEN + "other"),
    huggingface(LOGIN, HF_HOME="~/hf"),
    huggingface(LOGIN, XDG_CACHE_HOME="~/else"),
    huggingface("hf/token", HF_HOME="~/hf", asked=True),
    huggingface("else/huggingface/token", XDG_CACHE_HOME="~/else", asked=True),
    huggingface("here/huggingface/token", XDG_CACHE_HOME="", asked=True),
    huggingface("here/token", HF_HOME="", asked=True),
    huggingface(LOGIN, XDG_CACHE_HOME="", asked=True),
    huggingface("mine", HF_TOKEN_PATH="~/mine", asked=True),
    huggingface("mine", HF_TOKEN_PATH="$HOME/mine", asked=True),
    huggingface("token", HF_HOME="$WHERE", WHERE="~", asked=True),
    huggingface(HF_TOKEN_PATH="", asked=True, refused="AccessDenied"),
    huggingface("hf", HF_HOME="~/hf", asked=True, refused="AccessDenied"),
    huggingface("token/huggingface/token/", XDG_CACHE_HOME="~/token", asked=True, refused="AccessDenied"),
    huggingface(HUGGING_FACE_HUB_TOKEN=TOKEN, asked=True),
    huggingface(HF_HUB_DISABLE_IMPLICIT_TOKEN="1", HF_TOKEN=TOKEN, asked=True),
    huggingface(HUGGINGFACE_CO_STAGING="1", HF_TOKEN=TOKEN, asked=True),
    huggingface(HF_HUB_OFFLINE="1", HF_TOKEN=TOKEN, asked=True, refused="OfflineMode"),
    huggingface(TRANSFORMERS_OFFLINE="1", HF_TOKEN=TOKEN, asked=True, refused="OfflineMode"),
    huggingface(HF_OIDC_RESOURCE="acme/a", HF_TOKEN=TOKEN, asked=True, refused=NO_EXCHANGE),
    modelscope(),
    modelscope(MODELSCOPE_API_TOKEN=TOKEN),
    modelscope(MODELSCOPE_API_TOKEN=TOKEN, MODELSCOPE_ENDPOINT=f"{HERE}//"),
    modelscope(MODELSCOPE_API_TOKEN=TOKEN, MODELSCOPE_ENDPOINT=""),
    modelscope(MODELSCOPE_API_TOKEN=TOKEN, MODELSCOPE_ENDPOINT="hub.invalid", asked=True),
    modelscope(MODELSCOPE_API_TOKEN=TOKEN, MODELSCOPE_ENDPOINT=f" {HERE}", asked=True),
    modelscope(MODELSCOPE_API_TOKEN=TOKEN, MODELSCOPE_DOMAIN="hub.invalid", asked=True),
    modelscope(MODELSCOPE_API_TOKEN=TOKEN, MODELSCOPE_PREFER_AI_SITE="true", asked=True),
    modelscope(MODELSCOPE_API_TOKEN=f"{TOKEN}é", asked=True, refused="AccessDenied"),
    modelscope(COOKIES, asked=True),
    modelscope(COOKIES, MODELSCOPE_API_TOKEN=""),
    modelscope(COOKIES, MODELSCOPE_HOME="~/ms"),
    modelscope(COOKIES, MODELSCOPE_HOME="", asked=True),
    modelscope("ms/credentials/cookies", MODELSCOPE_HOME="~/ms", asked=True),
    modelscope("ms", MODELSCOPE_HOME="~/ms", asked=True),
)


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What was said of each row."""
    lines = []
    for row in ROWS:
        home = tmp_path_factory.mktemp("home")
        for name in row.saved:
            save(home, row.scheme, name)
        mine = {name: value.replace("~", str(home)) for name, value in row.environment.items()}
        lines.append(json.dumps({"scheme": row.scheme, "environment": {"HOME": str(home), **mine}}))
    done = subprocess.run(
        [sys.executable, "-c", ASKED],
        input="\n".join(lines),
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(zip(map(str, ROWS), map(json.loads, done.stdout.splitlines()), strict=True))


def save(home: Path, scheme: str, name: str) -> None:
    """A login; with a slash at its end, a folder in its place."""
    path = home / name
    if name.endswith("/"):
        path.mkdir(parents=True)
    elif scheme == "modelscope" and path.name == "cookies":
        HubConfig(config_dir=path.parent.parent, endpoint=HERE).save_token(TOKEN)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(TOKEN)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_endpoint_and_token_are_those_of_the_hubs_own_library(answers, row):
    answer = answers[str(row)]
    assert answer["asked"] == row.asked
    if row.refused:
        assert answer["ours"] == row.refused
    else:
        assert answer["ours"] == answer["theirs"]
    assert TOKEN not in answer["shown"]


FILLED = """
import sys
from provision.cli import run, settings
code = run(["fill", "p", "--locked", "--quiet", "--manifests", ".", "--volume", "volume"])
print(code, sorted(set(sys.modules) & set(sys.argv[1:])))
"""
NOT_NEEDED = (
    "huggingface_hub", "httpx", "httpx2", "hf_xet", "modelscope", "modelscope_hub", "requests", "tenacity", "tqdm",
    "urllib.request", "asyncio", "provision.composition.gguf", "provision.composition.sharding", "provision.difference",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_fill_from_a_lock_imports_no_library_of_a_hub_and_nothing_else_it_does_not_need(tmp_path, kind, monkeypatch):
    build(tmp_path / "served", kind.scheme)
    (tmp_path / "volume").mkdir()
    (tmp_path / "p.yaml").write_text(f"project: p\nmodels:\n  - source: {kind.scheme}://{NAME}\n    files: ['*.md']\n")
    with MisbehavingHub(Folder(tmp_path / "served"), Settings(token=TOKEN)) as server:
        mine = {kind.endpoint_variable: server.endpoint, kind.token_variable: TOKEN}
        for name, value in mine.items():
            monkeypatch.setenv(name, value)
        assert run(["lock", "p", "--manifests", str(tmp_path)]) == 0
        monkeypatch.chdir(tmp_path)
        done = run_alone("python", "-c", FILLED, *NOT_NEEDED, home=tmp_path, PYTHONPATH=str(ROOT), **mine)
    assert done.stdout.endswith("0 []\n"), done.stderr
    assert (tmp_path / "volume" / "README.md").stat().st_size > 0


@pytest.mark.parametrize(
    "variables",
    [{}, {"HTTPS_PROXY": "a:1"}, {"http_proxy": "b:2", "no_proxy": "c"}, {"All_Proxy": "d"}, {"NO_PROXY": "*"}],
)
def test_proxies_are_those_that_the_standard_library_finds(monkeypatch, variables):
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert settings.proxies() == urllib.request.getproxies()


@pytest.mark.parametrize(
    ("kind", "address"),
    [(HUGGINGFACE, ""), (HUGGINGFACE, "127.0.0.1:8091"), (HUGGINGFACE, "http://me@a"), (MODELSCOPE, "ftp://a")],
)
def test_an_endpoint_that_is_no_address_is_told_once_by_its_name_before_anything_is_begun(
    tmp_path, kind, address, monkeypatch, capsys
):
    (volume := tmp_path / "volume").mkdir()
    (tmp_path / "bed.lock.json").write_text(dumps(lock_of(kind, "0" * 40, file_of(SMALL), file_of(PLAIN))))
    monkeypatch.setenv(kind.endpoint_variable, address)
    for flags in ((), ("--dry-run",)):
        words = ["fill", "--frozen", str(tmp_path / "bed.lock.json"), "--volume", str(volume), *flags]
        assert run(words) == ExitCode.INPUT
        told = capsys.readouterr()
        assert told.err.count(kind.endpoint_variable) == 1
        assert "is no address of a hub" in told.err
        assert told.out == ""
    assert list(volume.iterdir()) == []


@pytest.mark.parametrize(
    ("scheme", "name", "address"),
    [
        ("hf", "HF_ENDPOINT", f"{HERE}/hub//"),
        ("modelscope", "MODELSCOPE_ENDPOINT", ""),
        ("modelscope", "MODELSCOPE_ENDPOINT", "127.0.0.1:8091"),
        ("modelscope", "MODELSCOPE_ENDPOINT", f" {HERE}"),
        ("modelscope", "HF_ENDPOINT", "nonsense"),
        ("https", "HF_ENDPOINT", "nonsense"),
    ],
)
def test_an_endpoint_that_its_library_can_use_or_that_nobody_asks_for_is_no_fault(monkeypatch, scheme, name, address):
    monkeypatch.setenv(name, address)
    logins.check_endpoint(scheme)


def test_where_nothing_is_to_be_fetched_no_endpoint_is_asked_for(tmp_path, monkeypatch):
    filled_volume(tmp_path / "volume")
    (tmp_path / "p.lock.json").write_text(dumps(promised_lock(DATA)))
    monkeypatch.setenv("HF_ENDPOINT", "nonsense")
    words = ["fill", "--frozen", str(tmp_path / "p.lock.json"), "--volume", str(tmp_path / "volume")]
    assert run(words) == ExitCode.DONE
