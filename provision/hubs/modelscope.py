"""ModelScope. The only module that knows modelscope_hub, and requests below it.

Endpoint and login are the library's (MODELSCOPE_ENDPOINT, MODELSCOPE_API_TOKEN, its saved cookie), and so are the
routes (modelscope_hub 0.5.1, _legacy_api.py). They are asked directly: the library's own listing leaves out who
committed last, makes sizes of what is none, returns lists that it knows are not whole, and has no argument for timeouts
and retries.
"""

from __future__ import annotations

import json
import warnings
from base64 import b64encode
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urljoin

from provision.digest import Digest, is_git_id, is_sha256
from provision.errors import (
    AccessDenied,
    HubRefused,
    RepositoryNotFound,
    RevisionNotFound,
    without_secrets,
)
from provision.hubs import Location, Pin, RemoteFile, checked_listing
from provision.hubs.address import usable
from provision.hubs.allowance import (
    ANSWER_LIMIT,
    REDIRECT_LIMIT,
    SMALL_LIMIT,
    Allowance,
    not_a_hub,
    silent,
    unreachable,
)
from provision.hubs.answers import NO_ACCESS, NO_RECORD, NO_TREE, TRANSIENT, transient
from provision.hubs.deadline import within
from provision.hubs.pktline import commit_of
from provision.names import nearest, path_fault, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import requests

    from provision.hubs.settings import HubSettings

BRANCH = "master"

LISTING_CAP = 3000
"""Entries at which the hub ends a listing without a word (REPO_FILES_TRUNCATION_LIMIT in modelscope_hub)."""

_LISTING = "/repo/files"
_SPURIOUS = 3
"""Tries for a folder that is denied in the midst of a listing: the hub does so at times, its client tries again too."""

_TOKEN_HINT = "set MODELSCOPE_API_TOKEN to a token that may read it"  # noqa: S105 - the name of a variable


class ModelScope:
    """The Hub protocol over ModelScope's routes."""

    name = "modelscope"

    def __init__(self, settings: HubSettings) -> None:
        self._settings = settings

    def resolve(self, repository: str, revision: str | None) -> Pin:
        """Pin `revision` (None: `master`) to its commit, where the hub tells it.

        A revision that is a commit is its own pin. Of a branch or tag the listing tells it at times, and the
        repository's git at others; where neither does the commit is None.
        """
        asked, question = revision or BRANCH, _Question(self, repository)
        license_ = _license(question.data(""))  # the answer itself may be large, and is not kept
        try:
            top = question.data(_LISTING, Revision=asked, Recursive="False")
        except RevisionNotFound as error:
            raise _no_revision(repository, asked, question.revisions()) from error
        if not question.files(top):  # what some deployments answer about a revision that they do not have
            known = question.revisions()
            if asked not in known:
                raise _no_revision(repository, asked, known)
        commit = asked if is_git_id(asked) else _latest(top) or question.commit_of(asked)
        return Pin(repository=repository, revision=asked, commit=commit, license=license_)

    def files(self, pin: Pin) -> tuple[RemoteFile, ...]:
        """Every file of the pin, each with its sha256."""
        revision = pin.commit or pin.revision
        try:
            listed = checked_listing(pin.repository, _Question(self, pin.repository).entries(revision))
        except RevisionNotFound as error:
            raise _no_revision(pin.repository, revision, ()) from error
        if not listed:
            raise _no_revision(pin.repository, revision, ())
        return listed

    def location(self, pin: Pin, path: str) -> Location:
        """The address of `path`, with the token as the library sends it: as a bearer's, and as the session's cookie."""
        query = urlencode({"Revision": pin.commit or pin.revision, "FilePath": path}, quote_via=quote, safe="")
        return Location(
            url=f"{self.endpoint}{_route(pin.repository)}/repo?{query}",
            headers=tuple(self.credentials.items()),
            page=f"{self.endpoint}/models/{quote(pin.repository)}",
            repository=pin.repository,
        )

    @property
    def settings(self) -> HubSettings:
        """As given."""
        return self._settings

    @property
    def endpoint(self) -> str:
        """Where the hub is, without a slash at the end."""
        return usable(self._settings.endpoint or self._configuration.endpoint)

    @property
    def credentials(self) -> Mapping[str, str]:
        """The headers that carry the token, if there is one."""
        token = self.token
        return {"Authorization": f"Bearer {token}", "Cookie": f"m_session_id={token}"} if token else {}

    @property
    def token(self) -> str:
        """The token, "" where there is none."""
        given = self._settings.token
        token = str((self._configuration.token if given is None else given) or "").strip()
        if not (token.isascii() and token.isprintable()):
            raise AccessDenied("the ModelScope token holds characters that no token has", hint=_TOKEN_HINT)
        return token

    @property
    def git_credentials(self) -> Mapping[str, str]:
        """The token as the hub's documentation has git send it: the password of a user called oauth2."""
        token = self._configuration.load_git_token() or self.token
        return {"Authorization": "Basic " + b64encode(f"oauth2:{token}".encode()).decode()}

    @cached_property
    def session(self) -> requests.Session:
        """Connections, with the proxies and certificates of the environment, and without its .netrc."""
        import requests

        from provision.hubs.http.wire import timed

        class Adapter(requests.adapters.HTTPAdapter):
            def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
                super().init_poolmanager(*arguments, **options)
                timed(self.poolmanager)

            def proxy_manager_for(self, *arguments: Any, **options: Any) -> Any:
                return timed(super().proxy_manager_for(*arguments, **options))

        session = requests.Session()
        for scheme in ("http://", "https://"):
            session.mount(scheme, Adapter())
        # Without this it reads all of a redirect's body, to know the next request.
        session.get_redirect_target = lambda resp: None  # type: ignore[method-assign]  # noqa: ARG005 - its name
        session.auth = lambda request: request  # otherwise a .netrc would take the place of the token
        return session

    @cached_property
    def _configuration(self) -> Any:
        """What the library knows of endpoint and login. It unpickles the cookie that its own login has saved."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a retired variable makes it warn
            from modelscope_hub import HubConfig

            try:
                return HubConfig(endpoint=self._settings.endpoint, token=self._settings.token)
            except Exception as error:  # unpickling may raise anything
                raise AccessDenied("the saved ModelScope login cannot be read", hint=_TOKEN_HINT) from error


class _Question:
    """One call's requests about one repository, within one allowance."""

    def __init__(self, hub: ModelScope, repository: str) -> None:
        if path_fault(repository) or repository.count("/") != 1:
            raise RepositoryNotFound(
                f"`{shown(repository)}` is no name of a repository", hint="write modelscope://OWNER/NAME"
            )
        self._hub, self._repository = hub, repository
        self._allowance = Allowance(hub.settings, hub.endpoint)

    def data(self, route: str, **query: str) -> Mapping[str, Any]:
        """`Data` of the envelope in which the hub answers.

        Raises:
            HubRefused, HubUnavailable: and their children.
        """
        address = f"{self._hub.endpoint}{_route(self._repository)}{route}"
        limit = ANSWER_LIMIT if route == _LISTING else SMALL_LIMIT
        status, body = self._ask(f"{address}?{urlencode(query)}" if query else address, self._hub.credentials, limit)
        envelope = _envelope(body)
        if status != 200 or envelope.get("Code") != 200:
            raise self._refusal(status, envelope)
        if not isinstance(envelope.get("Data"), dict):
            raise not_a_hub(self._allowance.host, f"tells nothing of {shown(self._repository)}")
        return _mapping(envelope["Data"])

    def entries(self, revision: str) -> Iterator[RemoteFile]:
        """All files. A folder whose listing may have been ended by the hub is listed level by level."""
        folders = [""]
        while folders:
            folder = folders.pop()
            listed = self._listing(revision, folder, recursive=True)
            if len(listed) >= LISTING_CAP:
                listed = self._listing(revision, folder, recursive=False)
                folders += [self._path(entry) for entry in listed if _is_folder(entry)]
            if len(listed) >= LISTING_CAP:
                raise HubRefused(
                    f"{shown(self._repository)}: ModelScope does not list all of `{shown(folder) or '/'}`: "
                    f"no listing has more than {LISTING_CAP:,} entries",
                    hint="take the files from another hub, or ask the author for subfolders",
                )
            yield from (self._file(entry) for entry in listed if not _is_folder(entry))

    def revisions(self) -> tuple[str, ...]:
        """The names of branches and tags."""
        refs = _mapping(self.data("/revisions").get("RevisionMap"))
        entries = [*_sequence(refs.get("Branches")), *_sequence(refs.get("Tags"))]
        return tuple(name for name in (_mapping(entry).get("Revision") for entry in entries) if isinstance(name, str))

    def commit_of(self, revision: str) -> str | None:
        """The commit of a branch or tag, from what git's own clients are told; None where git is not served.

        As git does, asks without a name first. The hub answers only a user agent that begins with `git/`.
        """
        address = f"{self._hub.endpoint}/{quote(self._repository)}.git/info/refs?service=git-upload-pack"
        agent = {"User-Agent": f"git/2 {self._hub.settings.http.user_agent}"}
        status, body = self._ask(address, agent)
        if status != 200 and self._hub.credentials:
            status, body = self._ask(address, {**agent, **self._hub.git_credentials})
        return commit_of(body, revision) if status == 200 else None

    def _listing(self, revision: str, folder: str, *, recursive: bool) -> list[Any]:
        query = {"Revision": revision, "Recursive": str(recursive)} | ({"Root": folder} if folder else {})
        for _ in range(_SPURIOUS if folder else 1):
            try:
                return self.files(self.data(_LISTING, **query))
            except AccessDenied as error:
                denied = error
        raise denied

    def files(self, listing: Mapping[str, Any]) -> list[Any]:
        """The entries of a listing; null is none."""
        files = listing.get("Files")
        if not isinstance(files, list | None):
            raise not_a_hub(self._allowance.host, f"has no list of the files of {shown(self._repository)}")
        return files or []

    def _ask(self, url: str, headers: Mapping[str, str], limit: int = ANSWER_LIMIT) -> tuple[int, bytes]:
        """The status and body of the first answer that is no redirect."""
        with within(self._allowance.http.clock, self._allowance.http.call):
            for _ in range(REDIRECT_LIMIT):
                own = self._allowance.admit(url)
                with self._get(url, headers if own else {}) as answer:
                    if not answer.is_redirect:
                        return answer.status_code, self._read(answer, limit)
                    url = self._next(url, answer.headers["Location"])
        raise not_a_hub(self._allowance.host, "redirects in a circle")

    def _next(self, url: str, location: str) -> str:
        try:
            return urljoin(url, location)
        except ValueError as error:
            raise not_a_hub(self._allowance.host, "redirects to what is no address") from error

    def _get(self, url: str, headers: Mapping[str, str]) -> requests.Response:
        import requests

        http, host = self._allowance.http, self._allowance.host
        try:
            return self._hub.session.get(
                url,
                headers={"User-Agent": http.user_agent, "Accept-Encoding": "identity", **headers},
                timeout=(http.connect, http.stall),
                stream=True,
                allow_redirects=False,
            )
        except requests.ReadTimeout as error:
            raise silent(host) from error
        except requests.ConnectionError as error:
            raise unreachable(host, error) from error
        except (requests.RequestException, ValueError) as error:
            raise not_a_hub(host, "cannot be asked at the address it is given") from error

    def _read(self, answer: requests.Response, limit: int) -> bytes:
        """The body.

        Raises:
            HubUnavailable: the status is one that may pass, or the connection failed.
        """
        from provision.hubs.http.body import transport_faults

        http, host = self._allowance.http, self._allowance.host
        if answer.status_code in TRANSIENT:
            raise transient(answer.status_code, answer.headers, host, http.now())
        with transport_faults(host):
            chunks = iter(lambda: answer.raw.read1(65_536, decode_content=False), b"")
            return self._allowance.gather(answer.headers, chunks, limit)

    def _refusal(self, status: int, envelope: Mapping[str, Any]) -> HubRefused:
        """The hub says most of its refusals with 404 and a code of its own, some with 200."""
        host, name, code = self._allowance.host, shown(self._repository), envelope.get("Code")
        if code == NO_TREE:
            return RevisionNotFound(f"{name} has no such revision", hint="name a branch, tag or commit")
        if code == NO_ACCESS or status in {401, 403} or code in {401, 403}:
            return AccessDenied(f"{host} does not let us read {name} ({status})", hint=_TOKEN_HINT)
        if code is None:
            return not_a_hub(host, f"does not answer as a hub about {name} ({status})")
        if code == NO_RECORD or 404 in {status, code}:
            return RepositoryNotFound(
                f"{host} has no {name} that we may see ({status})", hint=f"check the name; {_TOKEN_HINT}"
            )
        words = shown(without_secrets(str(envelope.get("Message") or code)))
        return HubRefused(f"{host} refuses {name} ({status}): {words}", hint=f"look at {self._hub.endpoint}")

    def _path(self, entry: object) -> str:
        path = _mapping(entry).get("Path")
        if not isinstance(path, str):
            raise not_a_hub(self._allowance.host, "lists an entry without a path")
        return path

    def _file(self, entry: object) -> RemoteFile:
        told, path = _mapping(entry), self._path(entry)
        size, sha256 = told.get("Size"), told.get("Sha256")
        if type(size) is not int:
            raise not_a_hub(self._allowance.host, f"lists `{shown(path)}` without a size")
        digest = sha256.lower() if isinstance(sha256, str) else ""
        return RemoteFile(path=path, size=size, digest=Digest("sha256", digest) if is_sha256(digest) else None)


def _route(repository: str) -> str:
    return f"/api/v1/models/{quote(repository)}"


def _envelope(body: bytes) -> Mapping[str, Any]:
    try:
        return _mapping(json.loads(body))
    except (ValueError, RecursionError):
        return {}


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _sequence(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _latest(listing: Mapping[str, Any]) -> str | None:
    commit = _mapping(listing.get("LatestCommitter")).get("Id")
    return commit if isinstance(commit, str) and is_git_id(commit) else None


def _license(model: Mapping[str, Any]) -> str | None:
    told = model.get("License")
    return shown(told, 80) if isinstance(told, str) and told else None


def _is_folder(entry: object) -> bool:
    return _mapping(entry).get("Type") == "tree"


def _no_revision(repository: str, revision: str, known: tuple[str, ...]) -> RevisionNotFound:
    close = nearest(revision, known) or known[:3]
    hint = f"it has {', '.join(map(shown, close))}" if close else "name a branch, tag or commit"
    return RevisionNotFound(f"{shown(repository)} has no revision `{shown(revision)}`", hint=hint)
