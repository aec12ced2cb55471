"""The Hugging Face side: the routes, headers and refusals that `huggingface_hub` reads.

Sources: huggingface_hub 2.4.0 (`hf_api.py`, `file_download.py`, `utils/_http.py`, `utils/_pagination.py`)
and https://huggingface.co/docs/hub/api.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, urlencode

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from provision.serve.access import Standing, standing
from provision.serve.bytestream import ByteStream
from provision.serve.cdn import address
from provision.serve.folder import HUGGINGFACE
from provision.serve.snapshot import Directory, Entry, Snapshot, lfs_pointer
from provision.serve.undecoded import Undecoded, part

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from provision.serve.folder import Folder
    from provision.serve.settings import Settings

BRANCH = "main"
EXPANDED_PAGE = 50
_YES = frozenset({"true", "True", "1"})


class HuggingFaceRoutes:
    """The endpoints over one folder. `signed` turns a request and a CDN path into an address there."""

    def __init__(self, folder: Folder, settings: Settings, signed: Callable[[Request, str], str]) -> None:
        self._folder = folder
        self._settings = settings
        self._signed = signed

    def app(self) -> Starlette:
        """The endpoints as an ASGI application."""
        model = "/api/models/{org}/{name}"
        routes = [
            Route("/api/whoami-v2", self.whoami),
            Route(model, self.model_info),
            Route(model + "/revision/{revision}", self.model_info),
            Route(model + "/tree/{revision}", self.tree),
            Route(model + "/tree/{revision}/{path:path}", self.tree),
            Route(model + "/paths-info/{revision}", self.paths_info, methods=["POST"]),
            Route(model + "/refs", self.refs),
            Route("/{org}/{name}/resolve/{revision}/{path:path}", self.resolve),
        ]
        return Starlette(
            routes=routes, middleware=[Middleware(Undecoded)], exception_handlers={HTTPException: _refusal}
        )

    def whoami(self, request: Request) -> Response:
        """Who the token belongs to; there is only one user."""
        if standing(request, self._settings.token) is not Standing.KNOWN:
            raise HTTPException(401, "Invalid username or password.")
        access_token = {"displayName": "local", "role": "read"}
        return JSONResponse({"type": "user", "name": "local", "orgs": [], "auth": {"accessToken": access_token}})

    def model_info(self, request: Request) -> Response:
        """The repository at a revision, with the ids of its files where `blobs` asks for them."""
        snapshot = self._snapshot(request)
        blobs = request.query_params.get("blobs") in _YES
        return JSONResponse(model_info(snapshot, blobs=blobs, gated=snapshot.name in self._settings.gated))

    def tree(self, request: Request) -> Response:
        """One page of the listing; `Link` names the next."""
        snapshot, root, query = self._snapshot(request), part(request, "path").strip("/"), request.query_params
        expand = query.get("expand") in _YES
        items = snapshot.listing(root, recursive=query.get("recursive") in _YES)
        if root and not items:
            raise _entry_not_found(snapshot, root)
        after = _cursor_path(query.get("cursor", ""))
        waiting = [item for item in items if item.path > after]
        page = waiting[: self._page_size(query.get("limit", ""), expand=expand)]
        headers = {"Link": _next_page(request, page[-1].path)} if len(page) < len(waiting) else {}
        return JSONResponse([tree_item(item, snapshot, expand=expand) for item in page], headers=headers)

    async def paths_info(self, request: Request) -> Response:
        """The asked paths that exist; the others are left out without a word, as the hub does."""
        form = parse_qs((await request.body()).decode())
        snapshot = await run_in_threadpool(self._snapshot, request)
        asked = {path.strip("/") for path in form.get("paths", [])}
        expand = form.get("expand", [""])[0] in _YES
        found = [item for item in snapshot.listing(recursive=True) if item.path in asked]
        return JSONResponse([tree_item(item, snapshot, expand=expand) for item in found])

    def refs(self, request: Request) -> Response:
        """Branches and tags."""
        snapshot = self._snapshot(request)
        branch = {"name": BRANCH, "ref": f"refs/heads/{BRANCH}", "targetCommit": snapshot.commit}
        tags = [{"name": tag, "ref": f"refs/tags/{tag}", "targetCommit": snapshot.commit} for tag in snapshot.tags]
        return JSONResponse({"branches": [branch], "converts": [], "tags": tags})

    def resolve(self, request: Request) -> Response:
        """A file: its bytes, or for LFS a redirect to the CDN with the file's identity in `X-Linked-*`."""
        snapshot, path = self._snapshot(request), part(request, "path")
        self._refuse_gated(request, snapshot)
        entry = snapshot.find(path)
        if entry is None:
            raise _entry_not_found(snapshot, path)
        headers = {"X-Repo-Commit": snapshot.commit}
        if not entry.lfs:
            return ByteStream(entry.source, etag=entry.oid, headers=headers)
        headers |= {"X-Linked-Size": str(entry.size), "X-Linked-ETag": f'"{entry.sha256}"', "Accept-Ranges": "bytes"}
        return RedirectResponse(self._signed(request, address(HUGGINGFACE, snapshot.name, entry)), 302, headers)

    def _snapshot(self, request: Request) -> Snapshot:
        """The repository and revision the path names.

        Raises:
            HTTPException: As the hub refuses: a repository that is not there looks like one that is private.
        """
        caller = standing(request, self._settings.token)
        if caller is Standing.REFUSED:
            raise HTTPException(401, "Invalid credentials in Authorization header")
        repository = self._folder.repository(HUGGINGFACE, f"{part(request, 'org')}/{part(request, 'name')}")
        if caller is Standing.ANONYMOUS or (repository is None and "authorization" not in request.headers):
            raise HTTPException(401, "Invalid username or password.", {"X-Error-Code": "RepoNotFound"})
        if repository is None:
            raise HTTPException(404, "Repository not found", {"X-Error-Code": "RepoNotFound"})
        snapshot, revision = repository.snapshot(), part(request, "revision") or BRANCH
        if not snapshot.has(revision, branch=BRANCH):
            raise HTTPException(404, f"Invalid rev id: {revision}", {"X-Error-Code": "RevisionNotFound"})
        return snapshot

    def _refuse_gated(self, request: Request, snapshot: Snapshot) -> None:
        if snapshot.name in self._settings.gated:
            # Only files are gated: what a repository lists is public.
            status = 403 if "authorization" in request.headers else 401
            message = f"Access to model {snapshot.name} is restricted and you are not in the authorized list."
            raise HTTPException(status, message, {"X-Error-Code": "GatedRepo"})

    def _page_size(self, limit: str, *, expand: bool) -> int:
        most = min(self._settings.page, EXPANDED_PAGE) if expand else self._settings.page
        return max(1, min(int(limit), most)) if limit.isdecimal() else most


def model_info(snapshot: Snapshot, *, blobs: bool, gated: bool) -> dict[str, Any]:
    """The JSON of `/api/models/ORG/NAME`."""
    modified = _date(snapshot.modified)
    return {
        "_id": snapshot.commit[:24],
        "id": snapshot.name,
        "modelId": snapshot.name,
        "author": snapshot.name.partition("/")[0],
        "sha": snapshot.commit,
        "lastModified": modified,
        "createdAt": modified,
        "private": False,
        "gated": "auto" if gated else False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": [f"license:{snapshot.license}"] if snapshot.license else [],
        "cardData": {"license": snapshot.license} if snapshot.license else {},
        "siblings": [_sibling(entry, blobs=blobs) for entry in snapshot.entries],
    }


def tree_item(item: Entry | Directory, snapshot: Snapshot, *, expand: bool) -> dict[str, Any]:
    """One entry of a tree. The digest of LFS content is called `oid` here, and `sha256` in model_info."""
    last = {"id": snapshot.commit, "title": "As it is in the folder", "date": _date(snapshot.modified)}
    told: dict[str, Any] = {"path": item.path, "lastCommit": last} if expand else {"path": item.path}
    if isinstance(item, Directory):
        return {"type": "directory", "oid": item.oid, "size": 0, **told}
    return {"type": "file", "oid": item.oid, "size": item.size, **_lfs(item, "oid"), **told}


def _sibling(entry: Entry, *, blobs: bool) -> dict[str, Any]:
    if not blobs:
        return {"rfilename": entry.path}
    return {"rfilename": entry.path, "size": entry.size, "blobId": entry.oid, **_lfs(entry, "sha256")}


def _lfs(entry: Entry, digest_key: str) -> dict[str, Any]:
    if not entry.lfs:
        return {}
    pointer_size = len(lfs_pointer(entry.sha256, entry.size))
    return {"lfs": {digest_key: entry.sha256, "size": entry.size, "pointerSize": pointer_size}}


def _next_page(request: Request, last: str) -> str:
    query = {**request.query_params, "cursor": base64.urlsafe_b64encode(last.encode()).decode()}
    return f'<{request.url.replace(query=urlencode(query))}>; rel="next"'


def _cursor_path(cursor: str) -> str:
    try:
        return base64.urlsafe_b64decode(cursor).decode()
    except ValueError as error:  # not base64, not ASCII, not UTF-8
        raise HTTPException(400, "Invalid cursor") from error


def _entry_not_found(snapshot: Snapshot, path: str) -> HTTPException:
    headers = {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": snapshot.commit}
    return HTTPException(404, f"{quote(path)} does not exist in {snapshot.name}", headers)


def _refusal(_request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    headers = {**(error.headers or {}), "X-Error-Message": error.detail}
    return JSONResponse({"error": error.detail}, error.status_code, headers)


def _date(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
