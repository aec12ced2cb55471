"""Answers of the two APIs, and refusals that each says in its own shape."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

TITLES = {
    400: "Bad Request", 401: "Unauthorized", 402: "Payment Required", 403: "Forbidden", 404: "Not Found",
    405: "Method Not Allowed", 409: "Conflict", 410: "Gone", 422: "Unprocessable Entity", 429: "Too Many Requests",
    500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable",
}  # fmt: skip

NO_INSTANCES = (
    "There are no longer any instances available with the requested specifications. Please refresh and try again."
)
NO_RESOURCES = (
    "This machine does not have the resources to deploy your pod. Please try a different machine or try again later."
)
NONE_NOW = "There are no instances currently available"
NO_BALANCE = "Your account balance is too low to create a pod. Please add funds and try again."


class RefusedError(Exception):
    """A request that is refused: by v2 with `status`, by GraphQL with `code` in a 200."""

    def __init__(self, status: int, detail: str, *, code: str = "BAD_REQUEST", errors: list[str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.code, self.errors = status, detail, code, errors


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer. `promised`: a Content-Length that is not the body's."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    promised: int | None = None


def document(value: object, status: int = 200, kind: str = "application/json", **headers: str) -> Answer:
    """JSON."""
    named = {"Content-Type": kind, **{name.replace("_", "-"): text for name, text in headers.items()}}
    return Answer(status=status, body=json.dumps(value).encode(), headers=named)


def problem(status: int, detail: str, errors: list[str] | None = None, **headers: str) -> Answer:
    """How v2 refuses (problem+json)."""
    body: dict[str, object] = {"title": TITLES.get(status, "Error"), "status": status, "detail": detail}
    if errors:
        body["errors"] = errors
    return document(body, status, "application/problem+json", **headers)


def graphql_error(message: str, code: str, status: int = 200, data: object = None) -> Answer:
    """How GraphQL refuses: 200 with errors, or 400 where the query itself is wrong."""
    body: dict[str, object] = {"errors": [{"message": message, "extensions": {"code": code}}]}
    return document(body if status != 200 else {**body, "data": data}, status)


def page(status: int, title: str, text: str = "") -> Answer:
    """A page of Cloudflare's, where JSON was expected."""
    body = (
        f"<!DOCTYPE html>\n<html><head><title>api.runpod.io | {status}: {title}</title></head>\n<body>\n"
        f"<h1>{title} <span>Error code {status}</span></h1>\n{text}<p>Cloudflare Ray ID: 8f1c2d3e4a5b6c7d</p>\n"
        "</body></html>\n"
    )
    return Answer(status=status, body=body.encode(), headers={"Content-Type": "text/html; charset=UTF-8"})
