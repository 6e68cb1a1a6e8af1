"""The fake vendor of the conformance suite: plays the answers of an example in order, and keeps what it was sent."""

from __future__ import annotations

import asyncio
import io
import itertools
import json
import re
from dataclasses import dataclass, field
from email.message import Message
from email.parser import BytesParser
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import av
from PIL import Image

FILE = re.compile(r"\$FILE:(png|jpg|webp|mp4|mp3|wav|svg|txt)")
TYPES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "webp": "image/webp",
    "mp4": "video/mp4",
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "svg": "image/svg+xml",
    "txt": "text/plain",
}


@cache
def file_of(kind: str) -> bytes:
    """Make a small real file."""
    if kind in {"png", "jpg", "webp"}:
        file = io.BytesIO()
        Image.linear_gradient("L").resize((64, 64)).convert("RGB").save(file, "JPEG" if kind == "jpg" else kind.upper())
        return file.getvalue()
    if kind == "svg":
        return b'<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><rect width="8" height="8"/></svg>'
    return b"a text\n" if kind == "txt" else _media(kind)


def _media(kind: str) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=kind) as container:
        if kind == "mp4":
            stream = container.add_stream("libx264", rate=8)
            stream.width = stream.height = 64
            stream.pix_fmt = "yuv420p"
            frames = [av.VideoFrame.from_image(Image.new("RGB", (64, 64), (n * 20, 90, 120))) for n in range(8)]
        else:
            stream = container.add_stream("mp3" if kind == "mp3" else "pcm_s16le", rate=24000)
            stream.layout = "mono"
            frame = av.AudioFrame(format="s16p" if kind == "mp3" else "s16", layout="mono", samples=1152)
            frame.planes[0].update(bytes(frame.planes[0].buffer_size))
            frame.sample_rate = 24000
            frames = [frame]
        for frame in frames:
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


@dataclass
class Sent:
    """One request of the station."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    def parts(self) -> list[tuple[str, str | None, bytes]]:
        """Read a form: name, file name and content of each part."""
        head = f"content-type: {self.headers['content-type']}\r\n\r\n".encode()
        message: Message = BytesParser().parsebytes(head + self.body)
        return [
            (
                str(part.get_param("name", header="content-disposition")),
                part.get_filename(),
                part.get_payload(decode=True) or b"",  # type: ignore[arg-type]
            )
            for part in message.get_payload()  # type: ignore[union-attr]
        ]


@dataclass
class FakeVendor:
    """An HTTP server on a free port. ``answers`` are played in order; what comes beyond them is answered 599."""

    answers: list[dict[str, Any]] = field(default_factory=list)
    got: list[Sent] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    channel_key: str = ""

    async def start(self) -> None:
        self._numbers = itertools.count()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=2**26)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def link(self, kind: str) -> str:
        """Return a link to a file, another one each time."""
        path = f"/result-files/{next(self._numbers)}.{kind}"
        self.files[path] = kind
        return self.url + path

    def filled(self, text: str) -> str:
        """Put links and names into an answer."""
        text = FILE.sub(lambda mark: self.link(mark[1]), text)
        return text.replace("$UPSTREAM", self.url).replace("$CHANNEL_KEY", self.channel_key)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while True:
                sent = await self._read(reader)
                if sent.path in self.files:
                    kind = self.files[sent.path]
                    self._write(writer, 200, {"content-type": TYPES[kind]}, file_of(kind))
                else:
                    self.got.append(sent)
                    self._answer(writer, self.answers.pop(0) if self.answers else {"status": 599, "text": "unexpected"})
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            return
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> Sent:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").rstrip().split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        parts = urlsplit(target)
        return Sent(method, parts.path, dict(parse_qsl(parts.query)), headers, body)

    def _answer(self, writer: asyncio.StreamWriter, said: dict[str, Any]) -> None:
        headers = {name: self.filled(value) for name, value in said.get("headers", {}).items()}
        if "json" in said:
            body = self.filled(json.dumps(said["json"], ensure_ascii=False)).encode()
            headers.setdefault("content-type", "application/json")
        elif "sse" in said:
            body = "".join(self.filled(event) + "\n\n" for event in said["sse"]).encode()
            headers.setdefault("content-type", "text/event-stream")
        elif "bytes" in said:
            body = file_of(said["bytes"].removeprefix("$FILE:"))
        else:
            body = self.filled(said.get("text", "")).encode()
        self._write(writer, said.get("status", 200), headers, body)

    def _write(self, writer: asyncio.StreamWriter, status: int, headers: dict[str, str], body: bytes) -> None:
        lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in headers.items())]
        writer.write("\r\n".join([*lines, f"content-length: {len(body)}"]).encode() + b"\r\n\r\n" + body)
