"""Hugging Face, through its own library. The only module that knows huggingface_hub, and the client below it.

The library speaks the hub's language: routes, pages, its token and its variables (HF_ENDPOINT, HF_TOKEN, HF_HOME,
HF_HUB_OFFLINE). Its requests go through a client of ours, because it passes `timeout=None` where no argument can change
that (huggingface_hub 2.4, utils/_pagination.py), retries by itself for a minute where our callers retry too, reads
answers of any length, and sends the token to wherever the next page of a listing is said to be.
"""

from __future__ import annotations

import logging
import re
import threading
import warnings
from concurrent.futures import Future, wait
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from provision.digest import Digest, is_git_id, is_sha256
from provision.errors import (
    AccessDenied,
    Gated,
    HubRefused,
    OfflineMode,
    ProvisionError,
    RepositoryNotFound,
    RevisionNotFound,
)
from provision.hubs import Location, Pace, Pin, RemoteFile, checked_listing
from provision.hubs.address import origin_of, usable
from provision.hubs.allowance import (
    ANSWER_LIMIT,
    REDIRECT_LIMIT,
    SMALL_LIMIT,
    Allowance,
    cut,
    not_a_hub,
    silent,
    unreachable,
)
from provision.hubs.answers import TRANSIENT, check_linked_digest, check_total, refusal, transient
from provision.names import nearest, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from huggingface_hub import HfApi

    from provision.hubs import Stream
    from provision.hubs.http import Wanted
    from provision.hubs.settings import HubSettings
    from provision.hubs.xet import Storage, Stored

BRANCH = "main"

_LICENSE = re.compile(r"[\w.+-]{1,80}", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{7,40}")
_UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""What the library's parsers raise at an answer that is not a hub's."""

_asking: ContextVar[Allowance | None] = ContextVar("asking", default=None)
"""Set while a question of ours is asked: the client serves everybody in this process, its bounds are only for us."""


_starting = threading.Lock()


class HuggingFace:
    """The Hub protocol over huggingface_hub. Safe to share between threads."""

    name = "hf"

    def __init__(self, settings: HubSettings) -> None:
        self._settings = settings

    def resolve(self, repository: str, revision: str | None) -> Pin:
        """Pin `revision` (None: `main`) to its commit."""
        asked = revision or BRANCH
        try:
            with self._question(repository, asked) as api:
                # Without `expand` it names all files, some megabytes; without a revision some mirrors do not answer.
                info = api.model_info(repository, revision=asked, expand=["sha", "cardData", "tags"])
        except RevisionNotFound as error:
            error.hint = self._nearest(repository, asked) or error.hint
            raise
        sha = info.sha or ""
        if not is_git_id(sha):
            raise not_a_hub(self._host(), f"does not tell the commit of {shown(repository)}")
        if _is_commit(asked) and not sha.startswith(asked) and asked not in self._short_names(repository, asked):
            raise not_a_hub(self._host(), f"was asked for commit {asked} of {shown(repository)} and answers with {sha}")
        return Pin(repository=repository, revision=asked, commit=sha, license=_license(info))

    def files(self, pin: Pin) -> tuple[RemoteFile, ...]:
        """Every file of the pin. Files outside LFS have a git blob id: the hub knows no sha256 of them."""
        revision = pin.commit or pin.revision
        with self._question(pin.repository, revision) as api:
            tree = api.list_repo_tree(pin.repository, recursive=True, revision=revision)
            return checked_listing(pin.repository, (_file(item) for item in tree if hasattr(item, "blob_id")))

    def location(self, pin: Pin, path: str) -> Location:
        """The `resolve` address of `path`, with the token the library would send; it is asked only where the settings
        leave endpoint or token to it.

        Raises:
            OfflineMode: it is asked, and HF_HUB_OFFLINE is set.
        """
        authorization = self._authorization(pin)
        revision = quote(pin.commit or pin.revision, safe="")
        page = f"{self._endpoint()}/{quote(pin.repository)}"
        shown_to = (("Authorization", authorization),) if authorization else ()
        url = f"{page}/resolve/{revision}/{quote(path)}"
        return Location(url=url, headers=shown_to, page=page, repository=pin.repository)

    def open_xet(self, pin: Pin, wanted: Wanted, pace: Pace | None = None) -> Stream:
        """The wanted bytes from the hub's Xet storage. The first have come when this returns.

        Raises:
            HubRefused: and its children; the file is not kept there, or hf_xet cannot be used.
            HubUnavailable: and its children.
            SizeMismatch, DigestMismatch: the hub announces other bytes than the lock promised.
        """
        http = self._settings.http
        pace = pace or Pace(slowest=http.slowest, window=2 * http.stall)
        return self._storage.open(pin, wanted, pace, lambda: self._stored(pin, wanted))

    @cached_property
    def _storage(self) -> Storage:
        from provision.hubs.xet import Storage

        return Storage(self._settings.http)

    def _stored(self, pin: Pin, wanted: Wanted) -> Stored:
        """Where the storage has a file, and a token for it: the library keeps one per commit until nearly its end."""
        from provision.hubs.xet import Stored

        location = self.location(pin, wanted.path)
        with self._question(pin.repository, pin.commit or pin.revision) as api:
            told = api.get_hf_file_metadata(url=location.url)
            check_total(told.size, wanted)
            check_linked_digest({"X-Linked-ETag": told.etag or ""}, wanted)
            if told.xet_file_data is None or not is_sha256(told.xet_file_data.file_hash):
                raise HubRefused(
                    f"{self._host()} does not keep all of {shown(pin.repository)} in Xet storage",
                    hint="use --transport http",
                )
            known = import_module("huggingface_hub.utils._xet").refresh_xet_connection_info(
                file_data=told.xet_file_data,
                headers={**dict(location.headers), "User-Agent": self._settings.http.user_agent},
            )
            if origin_of(known.endpoint)[0] != "https" == origin_of(self._endpoint())[0]:
                raise not_a_hub(self._host(), "leads from https to an address without")
        return Stored(
            hash=told.xet_file_data.file_hash,
            address=known.endpoint,
            token=known.access_token,
            expires=known.expiration_unix_epoch,
        )

    @contextmanager
    def _question(self, repository: str, revision: str) -> Iterator[HfApi]:
        """The library, within an allowance; whatever it raises leaves as an error of ours."""
        sdk = _sdk()
        if sdk.constants.HF_HUB_OFFLINE:
            raise OfflineMode(
                "the settings forbid the network (HF_HUB_OFFLINE=1)",
                hint="unset HF_HUB_OFFLINE and TRANSFORMERS_OFFLINE",
            )
        allowance = Allowance(self._settings, self._endpoint())
        before = _asking.set(allowance)
        try:
            yield sdk.HfApi(endpoint=self._endpoint(), token=self._token(), user_agent=self._settings.http.user_agent)
        except ProvisionError:
            raise
        except sdk.errors.HFValidationError as error:
            raise RepositoryNotFound(
                f"`{shown(repository)}` is no name of a repository", hint="write hf://ORG/NAME"
            ) from error
        except sdk.errors.HfHubHTTPError as error:
            raise _refusal(error.response, repository, revision, allowance) from error
        except _UNREADABLE as error:
            raise not_a_hub(allowance.host, f"does not answer as a hub about {shown(repository)}") from error
        except (OSError, getattr(sdk.errors, "OIDCError", OSError)) as error:  # 1.18 does not have it
            raise AccessDenied("the Hugging Face token cannot be had", hint="set HF_TOKEN, or log in again") from error
        finally:
            _asking.reset(before)

    def _nearest(self, repository: str, revision: str) -> str:
        """A hint that names the revisions most like `revision`; "" when the hub does not tell."""
        try:
            names = self._names(repository, revision)
        except ProvisionError:
            return ""
        close = nearest(revision, names) or tuple(names[:3])
        return f"it has {', '.join(map(shown, close))}" if close else ""

    def _names(self, repository: str, revision: str) -> list[str]:
        """The branches and tags."""
        with self._question(repository, revision) as api:
            refs = api.list_repo_refs(repository)
            return [str(ref.name) for ref in (*refs.branches, *refs.tags)]

    def _short_names(self, repository: str, asked: str) -> list[str]:
        """The branches and tags that `asked` may be: git has none that are as long as a commit."""
        return [] if is_git_id(asked) else self._names(repository, asked)

    def _authorization(self, pin: Pin) -> str | None:
        token = self._settings.token
        if self._settings.endpoint and token is not None:
            return f"Bearer {token}" if token else None
        with self._question(pin.repository, pin.revision):
            headers: dict[str, str] = _sdk().utils.build_hf_headers(token=self._token())
            return headers.get("authorization")

    def _token(self) -> str | bool | None:
        return False if self._settings.token == "" else self._settings.token

    def _endpoint(self) -> str:
        return usable(self._settings.endpoint or _sdk().constants.ENDPOINT)

    def _host(self) -> str:
        return Allowance(self._settings, self._endpoint()).host


def _is_commit(revision: str) -> bool:
    """Whether `revision` looks like a commit, or the beginning of one."""
    return _COMMIT.fullmatch(revision) is not None


def _license(info: Any) -> str | None:
    """The license on the model card, or in the tags where a card says none."""
    told = getattr(info.card_data, "license", None)
    tagged = (tag[8:] for tag in info.tags or () if isinstance(tag, str) and tag.startswith("license:"))
    license_ = told if isinstance(told, str) else next(tagged, "")
    return license_ if _LICENSE.fullmatch(license_) else None


def _file(item: Any) -> RemoteFile:
    if not isinstance(item.path, str) or type(item.size) is not int:
        raise TypeError("a path must be a text and a size a whole number")
    return RemoteFile(path=item.path, size=item.size, digest=_digest(item))


def _digest(item: Any) -> Digest | None:
    if item.lfs is not None:
        return Digest("sha256", item.lfs.sha256) if is_sha256(item.lfs.sha256) else None
    return Digest("git", item.blob_id) if is_git_id(item.blob_id) else None


def _refusal(answer: Any, repository: str, revision: str, allowance: Allowance) -> HubRefused:
    """What a status that will not pass means. Without an error code 401 means a repository that is not there, or not
    for everybody (huggingface_hub, utils/_http.py).
    """
    status, headers, name = answer.status_code, answer.headers, shown(repository)
    code, words = headers.get("X-Error-Code", ""), headers.get("X-Error-Message", "")
    if words.startswith("Access to this resource is disabled"):
        return HubRefused(f"{name} has been disabled by {allowance.host}", hint="look for the same bytes elsewhere")
    if code == "GatedRepo":
        page = f"{allowance.endpoint}/{repository}"
        return Gated(f"access to {name} must be asked for", hint=f"ask for it at {page}, then set HF_TOKEN")
    if code == "RevisionNotFound":
        return RevisionNotFound(f"{name} has no revision `{shown(revision)}`", hint="name a branch, tag or commit")
    if not code and status == 404 and "json" not in headers.get("Content-Type", ""):
        return not_a_hub(allowance.host, f"knows nothing of {name} and does not answer as a hub (404)")
    missing = code == "RepoNotFound" or (status == 404 and code != "EntryNotFound")
    if missing or (status == 401 and not words.startswith("Invalid credentials")):
        return RepositoryNotFound(
            f"{allowance.host} has no {name} that we may see ({status})",
            hint="check the name; a private repository needs a token (HF_TOKEN)",
        )
    return refusal(status, headers, f"{allowance.host} refuses {name}")


def _sdk() -> ModuleType:
    """huggingface_hub: quiet, without telemetry, its requests through our client.

    Once per process and for all threads at once: setting the client closes the one before.
    """
    with _starting:
        return _started()


@cache
def _started() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a retired variable, still set on many pods, makes the import warn
        import huggingface_hub
        from huggingface_hub import HfApi, constants, errors, utils  # noqa: F401 - makes them attributes

    # Read at import from HF_HUB_DISABLE_TELEMETRY, at each use from here: this holds whoever imported it first, and
    # is not passed on to programs we start. It also ends the request to /api/agent-harnesses.
    constants.HF_HUB_DISABLE_TELEMETRY = True
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    huggingface_hub.set_client_factory(_client_factory())
    return huggingface_hub


def _client_factory() -> Callable[[], Any]:
    """Makes clients as the library does (utils/_http.py, default_client_factory) that bound what is asked by us."""
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.utils._http import hf_request_event_hook

    # httpx below huggingface_hub 2, httpx2 from then on: whichever its errors are made of.
    vendor = import_module(next(kind.__module__ for kind in HfHubHTTPError.__mro__ if kind.__name__ == "HTTPError"))
    base: Any = vendor.Client

    class Client(base):  # type: ignore[misc]
        """A client that sends within the allowance of the question being asked."""

        def send(self, request: Any, **options: Any) -> Any:
            """As in the class above; through `_exchange` while a question of ours is asked."""
            allowance = _asking.get()
            if allowance is None:
                return super().send(request, **options)
            send, away = super().send, options.get("follow_redirects") is not False
            return _in_time(lambda: _exchange(vendor, send, request, allowance, away=away), allowance)

    return lambda: Client(event_hooks={"request": [hf_request_event_hook]}, follow_redirects=True, timeout=None)


def _in_time(exchange: Callable[[], Any], allowance: Allowance) -> Any:
    """What `exchange` returns, waited for in a thread of its own.

    The vendor's client bounds silence only, and nothing public reaches its connection before an answer begins. One that
    never does is left behind; its thread ends with the connection, and does not keep the process.
    """
    outcome: Future[Any] = Future()

    def run() -> None:
        try:
            outcome.set_result(exchange())
        except BaseException as error:  # noqa: BLE001 - it is raised where the outcome is waited for
            outcome.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    if not wait((outcome,), allowance.http.call).done:
        raise silent(allowance.host)
    return outcome.result()


def _exchange(vendor: Any, send: Callable[..., Any], request: Any, allowance: Allowance, *, away: bool) -> Any:
    """The answer to `request`, read to its end. What may pass is raised here, where the library would try again."""
    try:
        answer = _follow(send, request, allowance, away=away)
        try:
            limit = ANSWER_LIMIT if "/tree/" in answer.request.url.path else SMALL_LIMIT
            body = allowance.gather(answer.headers, answer.iter_raw(), limit)
        finally:
            answer.close()
    except (vendor.ConnectError, vendor.ConnectTimeout, vendor.ProxyError) as error:
        raise unreachable(allowance.host, error) from error
    except vendor.TimeoutException as error:
        raise silent(allowance.host) from error
    except vendor.LocalProtocolError:  # its text holds the token
        raise AccessDenied("the token holds characters that no token has", hint="set HF_TOKEN") from None
    except (vendor.NetworkError, vendor.RemoteProtocolError) as error:
        raise cut(allowance.host) from error
    except (vendor.HTTPError, vendor.InvalidURL) as error:
        raise not_a_hub(allowance.host, "does not speak HTTP as a hub does") from error
    if answer.status_code in TRANSIENT:
        raise transient(answer.status_code, answer.headers, allowance.host, allowance.http.now())
    framing = {"content-encoding", "content-length", "transfer-encoding"}
    headers = [pair for pair in answer.headers.multi_items() if pair[0].lower() not in framing]
    return vendor.Response(answer.status_code, headers=headers, content=body, request=answer.request)


def _follow(send: Callable[..., Any], request: Any, allowance: Allowance, *, away: bool) -> Any:
    """The first answer that is no redirect, or without `away` none within the hub; not yet read."""
    connect, stall = allowance.http.connect, allowance.http.stall
    for _ in range(REDIRECT_LIMIT):
        if not allowance.admit(str(request.url)):
            request.headers.pop("Authorization", None)
        request.headers["Accept-Encoding"] = "identity"
        request.extensions["timeout"] = {"connect": connect, "read": stall, "write": stall, "pool": stall}
        answer = send(request, stream=True, follow_redirects=False)
        following = answer.next_request
        if following is None or not (away or origin_of(str(following.url)) == origin_of(allowance.endpoint)):
            return answer
        answer.close()
        request = following
    raise not_a_hub(allowance.host, "redirects in a circle")
