"""The view of a volume through S3: its objects, asked for by name, never listed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from provision.errors import UnsafePath, VolumeDenied, VolumeError
from provision.names import STATE_FOLDER, path_fault, shown
from provision.volume.receipts import INDEX, RECEIPTS
from provision.volume.s3.client import Client
from provision.volume.s3.file import S3File

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from provision.retry import Retry
    from provision.volume.s3.settings import S3Settings

_INDEX_LIMIT = 1024 * 1024  # bytes


class S3View:
    """A volume as a `View`, reached through S3. Threads may share it. A context: leaving it closes.

    S3 knows only objects: of what is no plain file on the volume (a folder, a link) it says what its server likes,
    mostly that it is absent. Times of change are in whole seconds, and there are no inodes.
    """

    def __init__(self, settings: S3Settings, client: Client, tell: Callable[[str], None]) -> None:
        self._settings, self._client, self._tell = settings, client, tell
        self._denied: set[str] = set()

    @classmethod
    def open(cls, settings: S3Settings, retry: Retry, tell: Callable[[str], None] = lambda _: None) -> S3View:
        """The volume that `settings` name; nothing is asked yet.

        `retry` is for what often passes: slow first answers, throttling, broken connections. `tell` gets what people
        should know of the server, each once.

        Raises:
            InputError: boto3 is not installed, or takes the endpoint or its region for none.
        """
        return cls(settings, Client(settings, retry, tell), tell)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def path(self) -> str:
        """What people call it: `s3://VOLUME_ID`."""
        return str(self._settings.place)

    @property
    def identity(self) -> str:
        """What tells it from every other volume, also from those that people call the same: its endpoint and region,
        bucket and folder. There is no secret in it.
        """
        endpoint = self._settings.endpoint
        return f"{endpoint.url.rstrip('/')} {endpoint.region} {self._settings.place}"

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def open_file(self, target: str) -> S3File | None:
        """The object at `target`; None when it is absent.

        Raises:
            UnsafePath: `target` names no file below a root.
            VolumeAbsent, VolumeError: as `Client`.
        """
        fault = path_fault(target)
        if fault:
            raise UnsafePath(f"`{shown(target)}` {fault}", hint="name a file below the volume's root")
        facts = self._client.head(target)
        return None if facts is None else S3File(self._client, target, facts)

    def state_names(self, folder: str) -> list[str]:
        """The names that the index of `.provision/FOLDER` tells; none when it is absent, or these keys are told that
        they may not read it: to keys that may not list, some servers say so of what is absent. Raises as `open_file`.
        """
        try:
            file = self.open_file(f"{STATE_FOLDER}/{folder}/{INDEX}")
            return [] if file is None else self._names(file)
        except VolumeDenied:
            self._say_denied(folder)
            return []

    def _say_denied(self, folder: str) -> None:
        if folder not in self._denied:
            self._denied.add(folder)
            lost = ": no receipt vouches" if folder == RECEIPTS else ""
            self._tell(f"these keys may not read {STATE_FOLDER}/{folder}{lost}")

    def _names(self, file: S3File) -> list[str]:
        with file:
            if file.stat().st_size > _INDEX_LIMIT:
                raise VolumeError(
                    f"{file.path} is too large to be an index", hint="move it away; the next fill makes one"
                )
            lines = file.read_at(0, _INDEX_LIMIT).decode("utf-8", "replace").splitlines()
        return [name for name in lines if "/" not in name and not path_fault(name)]
