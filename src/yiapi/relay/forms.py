"""Forms: multipart bodies read as they come, files beyond a mebibyte on disk, written anew for the vendor.

Names of files are never the caller's: a file goes up under a generated name with the type that its content has.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, cast

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from yiapi.errors import InvalidRequest
from yiapi.relay.disposition import read_disposition

PARTS_MAX = 100
FIELD_BYTES_MAX = 1024 * 1024
PART_HEADER_BYTES_MAX = 8 * 1024
BOUNDARY_LENGTH_MAX = 200
READ_BYTES = 64 * 1024

logging.getLogger("python_multipart").setLevel(logging.ERROR)  # what is wrong with a form is told to its caller


@dataclass(slots=True)
class Part:
    """One part. A part with a file name is a file; its content is rewound before each use."""

    name: str
    is_file: bool
    content_type: str | None
    content: BinaryIO
    size_bytes: int = 0

    def text(self) -> str:
        """Return a field's text. Raises InvalidRequest when it is no UTF-8."""
        self.content.seek(0)
        try:
            return self.content.read().decode()
        except UnicodeDecodeError as error:
            raise InvalidRequest(f"{self.name} is not valid UTF-8.", param=self.name) from error


class Form:
    """The parts of a form in their order; also a request body that can be sent again."""

    def __init__(self, parts: list[Part]) -> None:
        self.parts = parts
        self.boundary = secrets.token_hex(16)
        self._heads = [self._head(part, number) for number, part in enumerate(parts)]
        self._end = f"--{self.boundary}--\r\n".encode()

    @property
    def content_type(self) -> bytes:
        """Return the type with the boundary of our own."""
        return f"multipart/form-data; boundary={self.boundary}".encode()

    @property
    def size_bytes(self) -> int:
        """Return the exact length of the body."""
        return sum(len(head) + part.size_bytes + 2 for head, part in zip(self._heads, self.parts, strict=True)) + len(
            self._end
        )

    def chunks(self) -> Iterator[bytes]:
        """Return a new iterator over the whole body."""
        for head, part in zip(self._heads, self.parts, strict=True):
            yield head
            part.content.seek(0)
            while piece := part.content.read(READ_BYTES):
                yield piece
            yield b"\r\n"
        yield self._end

    def fingerprint(self) -> bytes:
        """Return a digest that is the same for the same parts, whatever the boundary."""
        digest = hashlib.sha256()
        for part in self.parts:
            digest.update(f"{part.name}\0{part.is_file}\0{part.size_bytes}\0".encode())
            part.content.seek(0)
            while piece := part.content.read(READ_BYTES):
                digest.update(piece)
        return digest.digest()

    def close(self) -> None:
        """Drop the files."""
        for part in self.parts:
            part.content.close()

    def _head(self, part: Part, number: int) -> bytes:
        name = part.name.replace("\\", "\\\\").replace('"', '\\"')
        lines = [f"--{self.boundary}", f'content-disposition: form-data; name="{name}"']
        if part.is_file:
            kind = part.content_type or "application/octet-stream"
            lines[1] += f'; filename="file-{number}.{kind.rpartition("/")[2].partition("+")[0]}"'
            lines.append(f"content-type: {kind}")
        elif part.content_type:
            lines.append(f"content-type: {part.content_type}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


class FormReader:
    """Takes a multipart body piece by piece. Raises InvalidRequest for what is no form."""

    def __init__(self, content_type: bytes, *, memory_bytes: int) -> None:
        _, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if not boundary or len(boundary) > BOUNDARY_LENGTH_MAX:
            raise InvalidRequest("The form has no usable boundary.")
        self._memory_bytes = memory_bytes
        self._opening = (b"--" + boundary, b"\r\n--" + boundary)  # some send an empty line first
        self._has_begun = False
        self._held = b""  # what came so far may be the opening, or not
        self._parts: list[Part] = []
        self._header_name = b""
        self._header_value = b""
        self._header_bytes = 0
        self._headers: dict[bytes, bytes] = {}
        self._is_complete = False
        self._parser = MultipartParser(
            boundary,
            callbacks={
                "on_part_begin": self._begin,
                "on_header_field": self._field,
                "on_header_value": self._value,
                "on_header_end": self._header,
                "on_headers_finished": self._start,
                "on_part_data": self._data,
                "on_end": self._finish,
            },
        )

    def feed(self, piece: bytes) -> None:
        """Take a piece of the body."""
        if not self._has_begun:
            piece = self._held + piece
            opening = self._opening[piece.startswith(b"\r")]
            self._has_begun = piece.startswith(opening)
            if not self._has_begun:
                if not opening.startswith(piece):
                    raise InvalidRequest("The form does not begin with its boundary.")
                self._held = piece
                return
        try:
            self._parser.write(piece)
        except MultipartParseError as error:
            raise InvalidRequest("The form cannot be read.") from error

    def form(self) -> Form:
        """Return the whole form."""
        if not self._is_complete:
            raise InvalidRequest("The form is cut off.")
        return Form(self._parts)

    def close(self) -> None:
        """Drop what was read so far."""
        for part in self._parts:
            part.content.close()

    def _begin(self) -> None:
        self._headers = {}
        self._header_bytes = 0

    def _field(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._header_name += data[start:end]

    def _value(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._header_value += data[start:end]

    def _count(self, size_bytes: int) -> None:
        self._header_bytes += size_bytes
        if self._header_bytes > PART_HEADER_BYTES_MAX:
            raise InvalidRequest("A part of the form has too long headers.")

    def _header(self) -> None:
        self._headers[self._header_name.lower()] = self._header_value
        self._header_name = self._header_value = b""

    def _start(self) -> None:
        if len(self._parts) >= PARTS_MAX:
            raise InvalidRequest("The form has too many parts.")
        said = read_disposition(self._headers.get(b"content-disposition", b""))
        content = cast("BinaryIO", SpooledTemporaryFile(self._memory_bytes))  # noqa: SIM115 - closed with the form
        self._parts.append(Part(said.name, said.is_file, self._type(), content))

    def _type(self) -> str | None:
        text = self._headers.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip().lower()
        kind, _, sub = text.partition("/")
        is_plain = all(
            word and word.replace("-", "").replace("+", "").replace(".", "").isalnum() for word in (kind, sub)
        )
        return text if is_plain and text.isascii() and len(text) <= 100 else None

    def _data(self, data: bytes, start: int, end: int) -> None:
        part = self._parts[-1]
        part.size_bytes += end - start
        if not part.is_file and part.size_bytes > FIELD_BYTES_MAX:
            raise InvalidRequest(f"{part.name} is too long.", param=part.name)
        part.content.write(data[start:end])

    def _finish(self) -> None:
        self._is_complete = True
