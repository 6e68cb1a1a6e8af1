"""Decode compressed bodies with a bound, so that a small answer cannot fill the memory."""

import zlib

from yiapi.upstream.errors import AnswerCut, AnswerTooLarge, BadAnswer

_PIECE_BYTES = 64 * 1024
_GZIP_WINDOW = 16 + zlib.MAX_WBITS


class Decoder:
    """Decode gzip or deflate, piece by piece, up to ``bytes_max`` in all."""

    __slots__ = ("_bytes_max", "_inflater", "_is_gzip", "_size_bytes")

    def __init__(self, encoding: bytes, *, bytes_max: int) -> None:
        if encoding not in {b"gzip", b"x-gzip", b"deflate"}:
            raise BadAnswer("the answer is compressed in a way that was not asked for")
        self._is_gzip = encoding != b"deflate"
        self._inflater = zlib.decompressobj(_GZIP_WINDOW) if self._is_gzip else None
        self._bytes_max = bytes_max
        self._size_bytes = 0

    def feed(self, piece: bytes) -> list[bytes]:
        """Return what a piece decodes to. Raises BadAnswer and AnswerTooLarge."""
        if self._inflater is None:
            self._inflater = zlib.decompressobj(_deflate_window(piece))
        decoded: list[bytes] = []
        pending = True  # the inflater may hold output back although all input is taken
        try:
            while piece or pending:
                if piece and self._inflater.eof:
                    self._next_member()
                out = self._inflater.decompress(piece, _PIECE_BYTES)
                pending = len(out) == _PIECE_BYTES
                self._size_bytes += len(out)
                if self._size_bytes > self._bytes_max:
                    raise AnswerTooLarge("the decoded answer exceeds the limit")
                if out:
                    decoded.append(out)
                piece = self._inflater.unconsumed_tail or self._inflater.unused_data
        except zlib.error as error:
            raise BadAnswer("the compressed answer cannot be decoded") from error
        return decoded

    def finish(self) -> None:
        """Raise AnswerCut unless the compressed data came to its end."""
        if self._inflater is not None and not self._inflater.eof:
            raise AnswerCut("the compressed answer is not complete")

    def _next_member(self) -> None:
        if not self._is_gzip:
            raise BadAnswer("there are bytes after the compressed answer")
        self._inflater = zlib.decompressobj(_GZIP_WINDOW)


def _deflate_window(piece: bytes) -> int:
    """Tell zlib streams, which the standard means, from the bare ones that some servers send."""
    return zlib.MAX_WBITS if piece[0] & 0x0F == zlib.DEFLATED else -zlib.MAX_WBITS
