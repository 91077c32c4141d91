"""Incremental JSON parser for long responses."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

_MAX_VALUE_CHARACTERS = 1 << 18
_BLOCK_BYTES = 1 << 18
_WHITE_SPACE = re.compile(r"[ \t\n\r]*")


class JsonReader:
    """Parser that returns a document in pieces, from a window of the body.

    :mod:`json` parses a document at once, which blocks all threads and needs several times its size in memory.

    :param body: UTF-8 text. A value that :meth:`value` reads has at most 262,144 characters.
    :param make_object: Function that builds an object from its pairs.
    """

    def __init__(self, body: bytes, make_object: Callable[[list[tuple[str, Any]]], Any]) -> None:
        self._body = body
        self._next_byte = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._window = ""
        self._position = 0
        self._json = json.JSONDecoder(object_pairs_hook=make_object)

    def peek(self) -> str:
        """Return the next character that is not white space, or an empty string at the end.

        :raises ValueError: If the body is not UTF-8.
        """
        while True:
            match = _WHITE_SPACE.match(self._window, self._position)
            self._position = match.end() if match else self._position
            is_whole = len(self._window) - self._position >= _MAX_VALUE_CHARACTERS
            if is_whole or self._next_byte >= len(self._body):
                return self._window[self._position : self._position + 1]
            self._decode_block()

    def value(self) -> Any:
        """Read the next value.

        :raises ValueError: If it is missing or too long.
        """
        self.peek()
        value, self._position = self._json.raw_decode(self._window, self._position)
        return value

    def names(self) -> Iterator[str]:
        """Read an object: yield each name. The caller must read the value before the next one.

        :raises ValueError: If there is no object.
        """
        for _ in self._parts("{", "}"):
            name = self.value()
            if not isinstance(name, str):
                raise ValueError("a name is not text")
            self._skip(":")
            yield name

    def elements(self) -> Iterator[Any]:
        """Read an array: yield each element.

        :raises ValueError: If there is no array.
        """
        for _ in self._parts("[", "]"):
            yield self.value()

    def _parts(self, start: str, end: str) -> Iterator[None]:
        self._skip(start)
        if self.peek() != end:
            yield
            while self.peek() == ",":
                self._skip(",")
                yield
        self._skip(end)

    def _skip(self, character: str) -> None:
        if self.peek() != character:
            raise ValueError(f"{character!r} is missing")
        self._position += 1

    def _decode_block(self) -> None:
        block = self._body[self._next_byte : self._next_byte + _BLOCK_BYTES]
        self._next_byte += len(block)
        text = self._decoder.decode(block, self._next_byte >= len(self._body))
        self._window = self._window[self._position :] + text
        self._position = 0
