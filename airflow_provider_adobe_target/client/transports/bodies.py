"""Bodies of requests and responses: batch files in blocks, and responses of bounded size."""

from __future__ import annotations

import io
import os
import zlib
from typing import TYPE_CHECKING

from airflow_provider_adobe_target.client.protocol import BatchBody, FailureKind, Request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

_BLOCK = 1 << 20


class FileBlocks:
    """A batch file as an iterable of blocks, so that it is never in memory as a whole. Each iteration reopens it."""

    def __init__(self, body: BatchBody) -> None:
        self._body = body
        self.sent = False
        self.error: OSError | None = None
        with body.path.open("rb"):
            pass  # raise for a missing file here, so that it does not count as a network failure

    def __len__(self) -> int:
        return self._body.size

    def __iter__(self) -> Iterator[bytes]:
        try:
            with self._body.path.open("rb", buffering=0) as file:
                if os.fstat(file.fileno()).st_size != self._body.size:
                    raise OSError(f"{self._body.path.name} is no longer of the size it was written with.")
                while block := file.read(_BLOCK):
                    yield block
        except OSError as error:
            self.error = error
            raise
        self.sent = True

    async def for_event_loop(self) -> AsyncIterator[bytes]:
        """Yield the blocks to an event loop."""
        for block in self:
            yield block


def request_body(request: Request) -> FileBlocks | bytes | None:
    """Return the body of a request; a batch file as blocks.

    :raises OSError: If the batch file cannot be opened.
    """
    return FileBlocks(request.body) if isinstance(request.body, BatchBody) else request.body


class UnfitContentError(Exception):
    """The body of a response is too long, or cannot be decompressed.

    :param kind: Kind of the failure.
    :param message: Description, without content.
    """

    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class ResponseContent:
    """The body of a response, of bounded size. Servers may compress it, although requests do not ask for compression.

    :param limit: Maximum size in bytes, both received and decompressed.
    :param headers: Headers of the response.
    :raises UnfitContentError: If the content encoding is not supported.
    """

    def __init__(self, limit: int, headers: Mapping[str, str]) -> None:
        self._limit = limit
        self._received = 0
        self._content = io.BytesIO()  # getvalue() does not copy
        coding = headers.get("content-encoding", "").strip().lower()
        if coding not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise UnfitContentError("broken", "a response in a content encoding that was not requested")
        # 32: zlib detects gzip and zlib headers.
        self._packed = None if coding in ("", "identity") else zlib.decompressobj(32 + zlib.MAX_WBITS)

    def add(self, block: bytes) -> None:
        """Add the next block. Neither the received nor the decompressed size may exceed the limit."""
        self._received += len(block)
        try:
            room = self._limit - self._content.tell() + 1
            self._content.write(self._packed.decompress(block, room) if self._packed else block)
        except zlib.error:
            raise self._broken() from None
        if self._packed and self._packed.unused_data:  # zlib keeps the bytes after the end of the stream in memory
            raise self._broken()
        if max(self._received, self._content.tell()) > self._limit:
            raise UnfitContentError("too_long", f"a response of more than {self._limit:,} bytes")

    def whole(self) -> bytes:
        """Return the complete body.

        :raises UnfitContentError: If the compressed stream is truncated.
        """
        if self._content.tell() and self._packed and not self._packed.eof:
            raise self._broken()
        return self._content.getvalue()

    @staticmethod
    def _broken() -> UnfitContentError:
        return UnfitContentError("broken", "a response whose compression is broken")
