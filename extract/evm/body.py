"""An HTTP body, read under a cap: what a provider sends never decides how much memory it takes."""

from __future__ import annotations

import zlib
from typing import Any

from extract.evm.errors import DecodeError

ENCODINGS = "gzip, deflate"  # what is asked for; another one is not read
_EITHER = 32 + zlib.MAX_WBITS  # gzip or zlib, by its first bytes


class TooLong(Exception):
    """A body beyond the cap."""


async def read_body(answer: Any, cap: int) -> bytes:
    """The decoded body of an aiohttp response that was asked for without automatic decompression.

    Errors: TooLong beyond `cap` bytes, packed or unpacked; DecodeError for a body that breaks off or does not unpack.
    """
    encoding = answer.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding in ("", "identity"):
        return await _plain(answer, cap)
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise DecodeError(f"it answers in {encoding[:20]!r}, which nobody asked for")
    return await _unpacked(answer, cap)


async def _plain(answer: Any, cap: int) -> bytes:
    pieces, size = [], 0
    async for piece in answer.content.iter_any():
        size += len(piece)
        if size > cap:
            raise TooLong
        pieces.append(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


async def _unpacked(answer: Any, cap: int) -> bytes:
    unpack, pieces, size = zlib.decompressobj(_EITHER), [], 0
    try:
        async for piece in answer.content.iter_any():
            while piece:
                found = unpack.decompress(piece, cap + 1 - size)
                size += len(found)
                if size > cap:
                    raise TooLong
                pieces.append(found)
                piece = unpack.unconsumed_tail
                if unpack.eof and unpack.unused_data:  # several gzip members, one after the other
                    piece, unpack = unpack.unused_data, zlib.decompressobj(_EITHER)
    except zlib.error as error:
        raise DecodeError(f"its body does not unpack: {error}") from None
    if not unpack.eof:
        raise DecodeError("its packed body breaks off")
    return b"".join(pieces)
