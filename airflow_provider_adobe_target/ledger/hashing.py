"""Hashes of ids and rows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_adobe_target.ledger.columns import UNKNOWN_HASH
from airflow_provider_adobe_target.profiles.deduplication import hash_strings
from airflow_provider_adobe_target.profiles.encoding import string_bytes

Hashes = npt.NDArray[np.int64]

_SEPARATOR, _NULL = "\x1f", "\x1e"


def hash_ids(ids: pa.StringArray) -> Hashes:
    """Return a 64-bit hash of each id. Ids with equal hashes must be compared."""
    return hash_strings(flat(ids)).view(np.int64)


def rows_seed(names: Sequence[str], null_values: Mapping[str, str]) -> int:
    """Return the seed of :func:`hash_rows`.

    :param names: Names of the attributes, in their order.
    :param null_values: Values that replace null.
    """
    text = json.dumps([list(names), sorted(null_values.items())])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def hash_rows(ids: pa.StringArray, texts: Sequence[pa.StringArray], seed: int) -> Hashes:
    """Return a 64-bit hash of each row: its id and the texts of its attributes.

    :param ids: Ids.
    :param texts: Texts of each attribute, in the order of the names of the seed.
    :param seed: Hash of the names.
    :return: Hashes; ``UNKNOWN_HASH`` if a text contains one of the two separators: the joined text would be ambiguous.
    """
    columns = [flat(column) for column in (ids, *texts)]
    if any(_has_separator(column) for column in columns):
        return np.full(len(ids), UNKNOWN_HASH, np.int64)
    lines = pc.binary_join_element_wise(*columns, _SEPARATOR, null_handling="replace", null_replacement=_NULL)
    hashes = hash_strings(lines) ^ np.uint64(seed)
    hashes[hashes == UNKNOWN_HASH] = 1
    return hashes.view(np.int64)


def keyed_hashes(texts: pa.StringArray, key: bytes) -> pa.StringArray:
    """Return a keyed BLAKE2b hash (128 bits, in hexadecimal) of each text. Null stays null."""
    encoded = flat(texts).dictionary_encode()
    hashed = [
        hashlib.blake2b(text.encode(), key=key, digest_size=16).hexdigest() for text in encoded.dictionary.to_pylist()
    ]
    return pa.array(hashed, pa.string()).take(encoded.indices)


def flat(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Return a column as one array."""
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _has_separator(column: pa.StringArray) -> bool:
    data = string_bytes(column).tobytes()
    return _SEPARATOR.encode() in data or _NULL.encode() in data
