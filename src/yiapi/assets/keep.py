"""Keeping a result: fetch it, hash it, look at it, and only then put it into the store under an id of our own.

A result that cannot be fetched or is not media is tried again a few times, because vendors announce files that are not
there yet. What is our own trouble, a full disk or a store that is away, is none of the result's: it is raised as
StorageUnavailable, and the caller comes back later.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import re
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self, TypeVar

from yiapi.assets.files import Files
from yiapi.assets.models import AssetType, KeepFailed, KeptFile, Source
from yiapi.assets.probe import MediaFacts, NotMedia, probe
from yiapi.errors import StorageUnavailable
from yiapi.ids import new_id
from yiapi.upstream.fetch import Fetcher, FetchError, FetchFailed, FetchRefused, FetchTimeout, FetchTooLarge

T = TypeVar("T")
Pause = Callable[[float], Awaitable[None]]

PAUSES_S = (1.0, 2.0, 4.0, 8.0)  # between five tries
BATCH_BYTES = 1024 * 1024  # what is handed to a thread at once
THREADS = 4

_DATA_URL = re.compile(r"data:[^,]{0,200};base64,")


class Keeper:
    """Copies results into the store. ``pause`` waits between two tries."""

    def __init__(self, files: Files, fetcher: Fetcher, *, pause: Pause = asyncio.sleep) -> None:
        self._files = files
        self._fetcher = fetcher
        self._pause = pause
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="assets-keep")

    async def keep(
        self,
        account_id: str,
        mode: str,
        source: Source,
        *,
        type_hint: AssetType | None = None,
        bytes_max: int,
        timeout_s: float,
    ) -> KeptFile:
        """Copy a result into the store and return what it is; a row is the caller's to write.

        Each call keeps a new file. Raises KeepFailed when there is no hope, StorageUnavailable when it is our store
        that fails. ``timeout_s`` is for one try.
        """
        whose = (account_id, mode, type_hint)
        if source.content is not None:
            return await self._keep_content(whose, source.content, bytes_max)
        if source.url is None:
            raise KeepFailed("result_unavailable", "the vendor named no file")
        return await self._keep_link(whose, source, bytes_max=bytes_max, timeout_s=timeout_s)

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=True)

    async def _keep_link(
        self, whose: tuple[str, str, AssetType | None], source: Source, *, bytes_max: int, timeout_s: float
    ) -> KeptFile:
        assert source.url is not None
        for pause_s in (*PAUSES_S, None):
            try:
                async with _Gathering(self._files.incoming, self._threads) as gathering:
                    await self._fetcher.download(
                        source.url,
                        bytes_max=bytes_max,
                        timeout_s=timeout_s,
                        permitted=source.permitted,
                        sink=gathering.add,
                    )
                    return await self._keep_gathered(gathering, *whose)
            except FetchRefused as error:
                raise KeepFailed("result_blocked", "the result's address may not be fetched") from error
            except (FetchError, NotMedia) as error:
                if pause_s is None:
                    raise KeepFailed("result_unavailable", _reason(error)) from error
            await self._pause(pause_s)
        raise AssertionError("the last try returns or raises")

    async def _keep_content(
        self, whose: tuple[str, str, AssetType | None], content: bytes | str, bytes_max: int
    ) -> KeptFile:
        try:
            async with _Gathering(self._files.incoming, self._threads) as gathering:
                await gathering.add(await gathering.run(_decoded, content, bytes_max))
                return await self._keep_gathered(gathering, *whose)
        except NotMedia as error:
            raise KeepFailed("result_unavailable", _reason(error)) from error

    async def _keep_gathered(
        self, gathering: _Gathering, account_id: str, mode: str, type_hint: AssetType | None
    ) -> KeptFile:
        await gathering.finish()
        if gathering.size_bytes == 0:
            raise NotMedia("the result is empty")
        facts: MediaFacts = await gathering.run(probe, gathering.path, type_hint)
        await self._files.put(f"{account_id}/{gathering.id}", gathering.path, content_type=facts.kind.content_type)
        return KeptFile(
            id=gathering.id,
            account_id=account_id,
            mode=mode,
            type=facts.kind.type,
            content_type=facts.kind.content_type,
            size_bytes=gathering.size_bytes,
            sha256=gathering.sha256,
            width=facts.width,
            height=facts.height,
            duration_s=facts.duration_s,
        )


class _Gathering:
    """A file on its way in: written and hashed in threads, gone at the end unless the store took it."""

    def __init__(self, folder: Path, threads: ThreadPoolExecutor) -> None:
        self.id = new_id("asset")
        self.path = folder / self.id
        self.size_bytes = 0
        self._hash = hashlib.sha256()
        self._threads = threads
        self._waiting = bytearray()
        self._file: BinaryIO | None = None

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    async def __aenter__(self) -> Self:
        self._file = await self.run(self.path.open, "xb")
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        file, self._file = self._file, None
        await asyncio.get_running_loop().run_in_executor(self._threads, _discard, file, self.path)

    async def add(self, chunk: bytes) -> None:
        """Take some bytes; they are written when there are enough of them."""
        self._waiting += chunk
        if len(self._waiting) >= BATCH_BYTES:
            await self._write()

    async def finish(self) -> None:
        """Write what is left and close the file."""
        await self._write()
        assert self._file is not None
        await self.run(self._file.close)

    async def run(self, work: Callable[..., T], *args: Any) -> T:
        """Do what blocks in a thread."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)
        except OSError as error:
            raise StorageUnavailable("results cannot be written now", retry_after_s=1) from error

    async def _write(self) -> None:
        batch, self._waiting = bytes(self._waiting), bytearray()
        self.size_bytes += len(batch)
        await self.run(self._append, batch)

    def _append(self, batch: bytes) -> None:
        assert self._file is not None
        self._hash.update(batch)
        self._file.write(batch)


def _reason(error: FetchError | NotMedia) -> str:
    """Say it without the address, which is the vendor's."""
    if isinstance(error, NotMedia):
        return str(error)
    if isinstance(error, FetchTooLarge):
        return "the result is larger than allowed"
    if isinstance(error, FetchTimeout):
        return "the result could not be fetched in time"
    if isinstance(error, FetchFailed) and error.status is not None:
        return f"the result's address answered {error.status}"
    return "the result could not be fetched"


def _discard(file: BinaryIO | None, path: Path) -> None:
    """Remove what is left; a file that the store took by renaming is not there any more."""
    with suppress(OSError):  # on a full disk closing fails as writing did
        if file is not None:
            file.close()
    path.unlink(missing_ok=True)


def _decoded(content: bytes | str, bytes_max: int) -> bytes:
    if isinstance(content, str):
        prefix = _DATA_URL.match(content)
        try:
            content = base64.b64decode("".join(content[prefix.end() if prefix else 0 :].split()), validate=True)
        except (binascii.Error, ValueError) as error:
            raise NotMedia("the result is not valid base64") from error
    if len(content) > bytes_max:
        raise NotMedia(f"the result is larger than {bytes_max} bytes")
    return content
