"""The ModelScope side: the routes, JSON and refusals that `modelscope_hub` reads, and the git advertisement.

Sources: modelscope_hub 0.5.1 (`_legacy_api.py`, `_download.py`). What the server itself does is told by those who
measured it: every refusal is a 404 with its own code, a listing ends silently at 3,000 entries, HEAD of a file is
not redirected, small files ignore Range, and git is answered only to a git client (421 to others).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from provision.serve.access import standing
from provision.serve.bytestream import ByteStream
from provision.serve.cdn import address
from provision.serve.folder import MODELSCOPE
from provision.serve.snapshot import Directory, Entry, Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from starlette.requests import Request

    from provision.serve.folder import Folder
    from provision.serve.settings import Settings

BRANCH = "master"

NO_RECORD = 10010205001
NO_ACCESS = 10010200001
NO_TREE = 10990101004
NO_FILE = 10990101007


class Refused(HTTPException):
    """A refusal in ModelScope's envelope: a status, and the code that says which refusal it is."""

    def __init__(self, code: int, message: str, *, status: int = 404) -> None:
        super().__init__(status, message)
        self.code = code


class ModelScopeRoutes:
    """The endpoints over one folder. `signed` turns a request and a CDN path into an address there."""

    def __init__(self, folder: Folder, settings: Settings, signed: Callable[[Request, str], str]) -> None:
        self._folder = folder
        self._settings = settings
        self._signed = signed

    def app(self) -> Starlette:
        """The endpoints as an ASGI application."""
        model = "/api/v1/models/{org}/{name}"
        routes = [
            Route("/api/v1/repos/internalAccelerationInfo", self.acceleration),
            Route(model, self.model),
            Route(model + "/revisions", self.revisions),
            Route(model + "/commits", self.commits),
            Route(model + "/repo/files", self.files),
            Route(model + "/repo", self.file),
            Route("/{org}/{name}.git/info/refs", self.git_refs),
        ]
        return Starlette(routes=routes, exception_handlers={HTTPException: _refusal})

    def acceleration(self, _request: Request) -> Response:
        """There is no faster network inside a cloud to ask about."""
        return _success({"InternalRegionQueryAddress": ""})

    def model(self, request: Request) -> Response:
        """What the repository is."""
        return _success(model_data(self._snapshot(request)))

    def revisions(self, request: Request) -> Response:
        """Branches and tags."""
        snapshot = self._snapshot(request)
        tags = [_ref(tag, snapshot) for tag in snapshot.tags]
        return _success({"RevisionMap": {"Branches": [_ref(BRANCH, snapshot)], "Tags": tags}})

    def commits(self, request: Request) -> Response:
        """The history of `Ref`, which is one commit long; null for a ref that is not there."""
        snapshot = self._snapshot(request)
        known = snapshot.has(request.query_params.get("Ref") or BRANCH, branch=BRANCH)
        commits = [_committer(snapshot, tells_head=True)] if known else None
        return _success({"Commit": commits, "TotalCount": int(known)})

    def files(self, request: Request) -> Response:
        """The listing below `Root`: its direct children, or all with `Recursive=True` (that very spelling)."""
        snapshot, query = self._snapshot(request), request.query_params
        if not snapshot.has(query.get("Revision") or BRANCH, branch=BRANCH):
            if self._settings.unknown_revision_is_empty:
                return _success({"Files": None, "IsVisual": 0, "LatestCommitter": None})
            raise Refused(NO_TREE, "获取模型目录树失败，信息：object not found")  # noqa: RUF001 - the hub's own words
        root = query.get("Root", "").strip("/")
        items = snapshot.listing(root, recursive=query.get("Recursive") == "True")
        if root and not items:
            raise Refused(NO_TREE, "获取模型目录树失败，信息：path not found")  # noqa: RUF001 - the hub's own words
        shown = items[: self._settings.listing_cap]
        return _success(files_data(shown, snapshot, tells_head=self._settings.tells_head))

    def file(self, request: Request) -> Response:
        """A file: its bytes, or for LFS a redirect to the CDN; HEAD is answered here in both cases."""
        snapshot, query = self._snapshot(request), request.query_params
        if snapshot.name in self._settings.gated:
            raise Refused(NO_ACCESS, "no access to the model")
        entry = snapshot.find(query.get("FilePath", ""))
        if entry is None or not snapshot.has(query.get("Revision") or BRANCH, branch=BRANCH):
            raise Refused(NO_FILE, "文件不存在")
        if entry.lfs and request.method == "GET":
            return RedirectResponse(self._signed(request, address(MODELSCOPE, snapshot.name, entry)), 302)
        return ByteStream(entry.source, etag=entry.oid, ranged=False)

    def git_refs(self, request: Request) -> Response:
        """The ref advertisement that `git ls-remote` reads (git's http-protocol documentation)."""
        if not request.headers.get("user-agent", "").startswith("git/"):
            return Response("Misdirected Request", 421, media_type="text/plain")
        if request.query_params.get("service") != "git-upload-pack":
            return Response("only git-upload-pack is served", 403, media_type="text/plain")
        if not standing(request, self._settings.token).admitted:
            return Response("no access", 401, {"WWW-Authenticate": 'Basic realm="git"'}, media_type="text/plain")
        kind = "application/x-git-upload-pack-advertisement"
        return Response(advertisement(self._snapshot(request)), media_type=kind)

    def _snapshot(self, request: Request) -> Snapshot:
        """The repository the path names.

        Raises:
            Refused: It is not there, or the caller may not see it.
        """
        if not standing(request, self._settings.token).admitted:
            raise Refused(NO_ACCESS, "no access to the model")
        repository = self._folder.repository(MODELSCOPE, "{org}/{name}".format_map(request.path_params))
        if repository is None:
            raise Refused(NO_RECORD, "获取模型信息失败，信息：record not found")  # noqa: RUF001 - the hub's own words
        return repository.snapshot()


def model_data(snapshot: Snapshot) -> dict[str, Any]:
    """The `Data` of `/api/v1/models/ORG/NAME`."""
    org, _, name = snapshot.name.partition("/")
    return {
        "Path": org,
        "Name": name,
        "License": snapshot.license or "",
        "Revision": BRANCH,
        "Visibility": 5,  # public
        "LastUpdatedTime": snapshot.modified,
        "StorageSize": sum(entry.size for entry in snapshot.entries),
    }


def files_data(items: Iterable[Entry | Directory], snapshot: Snapshot, *, tells_head: bool) -> dict[str, Any]:
    """The `Data` of `/repo/files`: every blob carries a Sha256, small ones too."""
    files = [_file(item, snapshot) for item in items]
    return {"Files": files, "IsVisual": 0, "LatestCommitter": _committer(snapshot, tells_head=tells_head)}


def advertisement(snapshot: Snapshot) -> bytes:
    """The refs in git's pkt-line format: HEAD first, with the capabilities."""
    names = [f"refs/heads/{BRANCH}", *sorted(f"refs/tags/{tag}" for tag in snapshot.tags)]
    head = f"{snapshot.commit} HEAD\0symref=HEAD:refs/heads/{BRANCH} object-format=sha1 agent=provision\n"
    refs = [_packet(f"{snapshot.commit} {name}\n") for name in names]
    return b"".join([_packet("# service=git-upload-pack\n"), b"0000", _packet(head), *refs, b"0000"])


def _packet(line: str) -> bytes:
    return f"{len(line.encode()) + 4:04x}{line}".encode()


def _file(item: Entry | Directory, snapshot: Snapshot) -> dict[str, Any]:
    content = {"Type": "tree", "Mode": "40000", "Size": 0, "Sha256": "", "IsLFS": False}
    if isinstance(item, Entry):
        content = {"Type": "blob", "Mode": "100644", "Size": item.size, "Sha256": item.sha256, "IsLFS": item.lfs}
    return {
        "Path": item.path,
        "Name": item.path.rpartition("/")[2],
        **content,
        "Revision": snapshot.commit,
        "CommittedDate": snapshot.modified,
        "CommitterName": "local",
        "CommitMessage": "As it is in the folder",
    }


def _committer(snapshot: Snapshot, *, tells_head: bool) -> dict[str, Any]:
    return {
        "Id": snapshot.commit if tells_head else "",
        "ShortId": snapshot.commit[:8],
        "CommittedDate": snapshot.modified,
        "CommitterName": "local",
        "Message": "As it is in the folder",
    }


def _ref(name: str, snapshot: Snapshot) -> dict[str, Any]:
    return {"Revision": name, "CreatedAt": snapshot.modified}


def _success(data: dict[str, Any]) -> Response:
    return JSONResponse({"Code": 200, "Data": data, "Message": "success", "RequestId": "local", "Success": True})


def _refusal(_request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    code = error.code if isinstance(error, Refused) else error.status_code
    told = {"Code": code, "Message": error.detail, "RequestId": "local", "Success": False}
    return JSONResponse(told, error.status_code)
