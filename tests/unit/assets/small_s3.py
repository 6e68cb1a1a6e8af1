"""A bucket in memory that speaks as much of S3 as an object store's client needs: objects, ranges, lists, parts."""

from __future__ import annotations

import hashlib
import re
import threading
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape, unescape

LISTED_MAX = 1000


class SmallS3:
    """Serves one bucket on a free port; ``objects`` has each object's content and the headers it was put with."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, dict[str, str]]] = {}
        self.uploads: dict[str, dict[int, bytes]] = {}
        self.numbers = count(1)
        self.signed: list[bool] = []
        store = self

        class Handler(_Handler):
            s3 = store

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    s3: SmallS3

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _asked(self) -> tuple[str, dict[str, str], bytes]:
        parts = urlsplit(self.path)
        key = unquote(parts.path).partition("/bucket")[2].lstrip("/")
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.s3.signed.append("authorization" in self.headers or "X-Amz-Signature" in query)
        return key, query, body

    def _say(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _missing(self) -> None:
        self._say(404, b"<Error><Code>NoSuchKey</Code></Error>")

    def do_PUT(self) -> None:
        key, query, body = self._asked()
        if "uploadId" in query:
            self.s3.uploads[query["uploadId"]][int(query["partNumber"])] = body
        else:
            self.s3.objects[key] = (body, _kept(self.headers))
        self._say(200, etag=_etag(body))

    def do_POST(self) -> None:
        key, query, asked = self._asked()
        if "delete" in query:
            keys = re.findall(r"<Key>([^<]+)</Key>", asked.decode())
            for gone in keys:
                self.s3.objects.pop(unescape(gone), None)
            told = "".join(f"<Deleted><Key>{gone}</Key></Deleted>" for gone in keys)
            self._say(200, f"<DeleteResult>{told}</DeleteResult>".encode())
            return
        if "uploads" in query:
            upload = f"upload-{next(self.s3.numbers)}"
            self.s3.uploads[upload] = {}
            self.s3.objects[f"{upload} headers"] = (b"", _kept(self.headers))
            self._say(200, f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId>"
                           f"</InitiateMultipartUploadResult>".encode())  # fmt: skip
            return
        parts = self.s3.uploads.pop(query["uploadId"])
        _, headers = self.s3.objects.pop(f"{query['uploadId']} headers")
        body = b"".join(parts[number] for number in sorted(parts))
        self.s3.objects[key] = (body, headers)
        answer = f"<CompleteMultipartUploadResult><ETag>{_etag(body)}</ETag></CompleteMultipartUploadResult>"
        self._say(200, answer.encode())

    def do_GET(self) -> None:
        key, query, _ = self._asked()
        if not key:
            self._say(200, self._list(query).encode(), content_type="application/xml")
            return None
        if key not in self.s3.objects:
            return self._missing()
        body, headers = self.s3.objects[key]
        told = {"etag": _etag(body), "last_modified": formatdate(usegmt=True), **headers}
        wanted = self.headers.get("range")
        if wanted is None:
            return self._say(200, body, **told)
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        start, stop = int(first), min(int(last) + 1, len(body))
        self._say(206, body[start:stop], content_range=f"bytes {start}-{stop - 1}/{len(body)}", **told)
        return None

    do_HEAD = do_GET  # noqa: N815

    def do_DELETE(self) -> None:
        key, _, _ = self._asked()
        self.s3.objects.pop(key, None)
        self._say(204)

    def _list(self, query: dict[str, str]) -> str:
        after = query.get("continuation-token") or query.get("start-after", "")
        keys = sorted(key for key in self.s3.objects if key.startswith(query.get("prefix", "")) and key > after)
        most = int(query.get("max-keys", LISTED_MAX))
        rows = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>2026-01-02T03:04:05.000Z</LastModified>"
            f"<ETag>{escape(_etag(self.s3.objects[key][0]))}</ETag><Size>{len(self.s3.objects[key][0])}</Size></Contents>"
            for key in keys[:most]
        )
        is_cut = len(keys) > most
        more = f"<NextContinuationToken>{escape(keys[most - 1])}</NextContinuationToken>" if is_cut else ""
        return (
            f"<ListBucketResult><IsTruncated>{str(is_cut).lower()}</IsTruncated>{more}"
            f"<KeyCount>{len(keys[:most])}</KeyCount>{rows}</ListBucketResult>"
        )


def _etag(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def _kept(headers: object) -> dict[str, str]:
    names = ("content-type", "content-disposition")
    return {name: headers[name] for name in names if name in headers}  # type: ignore[index,operator]
