"""Where files are: a folder by default, an S3 bucket by URL, memory for tests. Keys are ``{account}/{asset}``.

A file is gathered in ``incoming`` first and put under its key when it is whole, so nobody ever sees half of one:
a folder takes it by renaming, after its bytes are on the disk; a bucket shows an object only when it is complete.
Nothing here blocks the event loop.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, MemoryStore, ObjectStore, S3Store

from yiapi.assets.kinds import is_inline
from yiapi.errors import StorageUnavailable

if TYPE_CHECKING:
    from obstore import Attributes

T = TypeVar("T")

CHUNK_BYTES = 256 * 1024
PART_BYTES = 8 * 1024 * 1024
THREADS = 4
LISTED_MAX = 1000
S3_TIMEOUT = timedelta(seconds=1800)  # one whole transfer; a reader may be slow

_KEY = re.compile(r"[A-Za-z0-9_-]{1,100}/[A-Za-z0-9_-]{1,100}")


class FileMissing(Exception):
    """Nothing is kept under this key."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One file as a listing shows it."""

    key: str
    modified_ms: int
    size_bytes: int


Listing = list[StoredFile]


class Files(Protocol):
    """What a store can do. Each call raises StorageUnavailable when the store does not answer or is full."""

    @property
    def incoming(self) -> Path:
        """Return the local folder in which files are gathered."""
        ...

    async def put(self, key: str, path: Path, *, content_type: str) -> None:
        """Take a gathered file; afterwards it is whole under its key and survives a power cut."""
        ...

    async def read(self, key: str, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        """Open a file and return its bytes from ``start`` to before ``stop``, read as they are asked for.

        Raises FileMissing.
        """
        ...

    async def delete(self, key: str) -> None:
        """Delete a file; deleting one that is not there changes nothing."""
        ...

    async def listed(self, after: str | None) -> Listing:
        """Return some files in the order of their keys, those behind ``after``; nothing at the end."""
        ...

    async def presigned(self, key: str, *, life_s: int) -> str | None:
        """Return a link of the store itself, where it can make one."""
        ...

    def close(self) -> None:
        """End the store's threads."""
        ...


def files_at(url: str | None, *, folder: Path) -> Files:
    """Open the store of a URL: ``s3://bucket/prefix``, ``memory:``, ``file:///path``; None is ``folder`` itself.

    A bucket's region, endpoint and credentials come from the usual ``AWS_*`` variables. Raises ValueError.
    """
    if url is None:
        return FolderFiles(folder)
    if url.startswith("file://"):
        return FolderFiles(Path(unquote(urlsplit(url).path)))
    if url.startswith("s3://"):
        return ObjectFiles(_bucket(url), incoming=folder / "incoming")
    if url == "memory:":
        return ObjectFiles(MemoryStore(), incoming=folder / "incoming")
    raise ValueError(f"unknown asset store {url!r}: use a folder, file:///path or s3://bucket/prefix")


def _bucket(url: str) -> S3Store:
    return S3Store.from_url(
        url,
        client_options={
            "allow_http": True,  # the operator's own endpoint may be beside us; Amazon's is https
            "connect_timeout": timedelta(seconds=5),
            "timeout": S3_TIMEOUT,
        },
        retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=30)},
    )


class ObjectFiles:
    """Files in an object store; ``FolderFiles`` adds what a folder needs to survive a power cut."""

    def __init__(self, store: ObjectStore, *, incoming: Path) -> None:
        self._store = store
        self._incoming = incoming
        incoming.mkdir(parents=True, exist_ok=True, mode=0o700)

    @property
    def incoming(self) -> Path:
        """Return the local folder in which files are gathered."""
        return self._incoming

    async def put(self, key: str, path: Path, *, content_type: str) -> None:
        """Upload a gathered file, with what a link of the bucket itself has to say about it."""
        shown = "inline" if is_inline(content_type) else "attachment"
        attributes: Attributes = {"Content-Type": content_type, "Content-Disposition": shown}
        with _faults_named(reading=False):
            await obstore.put_async(self._store, _checked(key), path, attributes=attributes, chunk_size=PART_BYTES)

    async def read(self, key: str, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        """Open a file and stream a part of it."""
        with _faults_named():
            if start >= stop:  # a store refuses to read nothing, yet the file must be there
                await obstore.head_async(self._store, _checked(key))
                return _nothing()
            found = await obstore.get_async(self._store, _checked(key), options={"range": (start, stop)})
        return _chunks(found)

    async def delete(self, key: str) -> None:
        """Delete a file."""
        try:
            with _faults_named():
                await obstore.delete_async(self._store, _checked(key))
        except FileMissing:
            return

    async def listed(self, after: str | None) -> Listing:
        """Return some files behind a key."""
        found: list[StoredFile] = []
        with _faults_named():
            async for batch in obstore.list(self._store, offset=after, chunk_size=LISTED_MAX):
                found += [_stored(meta) for meta in batch if _KEY.fullmatch(meta["path"])]
                if len(found) >= LISTED_MAX:
                    break
        return sorted(found, key=lambda file: file.key)

    async def presigned(self, key: str, *, life_s: int) -> str | None:
        """Return a link of the bucket itself."""
        if not isinstance(self._store, S3Store):
            return None
        with _faults_named():
            return await obstore.sign_async(self._store, "GET", _checked(key), timedelta(seconds=life_s))

    def close(self) -> None:
        """Nothing to end: the store has no threads of ours."""


class FolderFiles(ObjectFiles):
    """Files in a folder, one folder for each account."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        super().__init__(LocalStore(root), incoming=root / ".incoming")
        self._root = root
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="assets-folder")

    async def put(self, key: str, path: Path, *, content_type: str) -> None:  # noqa: ARG002 - a folder keeps no types
        """Flush a gathered file to the disk and rename it."""
        with _faults_named(reading=False):
            await self._in_thread(self._take, path, self._root / _checked(key))

    async def listed(self, after: str | None) -> Listing:
        """Return some files behind a key."""
        with _faults_named():
            return await self._in_thread(self._walked, after)

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=True)

    async def _in_thread(self, work: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)

    def _take(self, path: Path, target: Path) -> None:
        _flush(path)
        if not target.parent.is_dir():
            target.parent.mkdir(exist_ok=True, mode=0o700)
            _flush(self._root)
        path.replace(target)
        _flush(target.parent)

    def _walked(self, after: str | None) -> Listing:
        """Walk the accounts in order and stop when there is enough; obstore would read them all."""
        found: list[StoredFile] = []
        last = tuple(after.split("/")) if after else ("", "")
        for account in sorted(path for path in self._root.iterdir() if path.is_dir() and path.name >= last[0]):
            for path in sorted(account.iterdir()):
                key = f"{account.name}/{path.name}"
                if _KEY.fullmatch(key) and (account.name, path.name) > last and (stat := _stat(path)):
                    found.append(StoredFile(key, round(stat.st_mtime * 1000), stat.st_size))
                    if len(found) == LISTED_MAX:
                        return found
        return found


def _stored(meta: obstore.ObjectMeta) -> StoredFile:
    return StoredFile(meta["path"], round(meta["last_modified"].timestamp() * 1000), meta["size"])


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:  # deleted meanwhile
        return None


def _flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _checked(key: str) -> str:
    """Only keys of our own making are used: no name of a caller's or a vendor's gets here."""
    if not _KEY.fullmatch(key):
        raise ValueError(f"not a key of ours: {key!r}")
    return key


@contextmanager
def _faults_named(*, reading: bool = True) -> Iterator[None]:
    """Only who reads can miss a file; who writes misses the folder or the bucket."""
    try:
        yield
    except (BaseError, OSError) as error:
        if reading and isinstance(error, FileNotFoundError):
            raise FileMissing(str(error)) from error
        raise StorageUnavailable("the file store cannot be reached or is full", retry_after_s=1) from error


async def _chunks(found: obstore.GetResult) -> AsyncGenerator[bytes, None]:
    with _faults_named():
        async for chunk in found.stream(min_chunk_size=CHUNK_BYTES):
            yield bytes(chunk)


async def _nothing() -> AsyncGenerator[bytes, None]:
    empty: tuple[bytes, ...] = ()
    for chunk in empty:
        yield chunk
