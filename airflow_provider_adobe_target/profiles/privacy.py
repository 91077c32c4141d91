"""Hash and block attributes, and detect personal data in a sample of their values."""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
from collections import Counter, defaultdict
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.privacy import PrivacyRules
from airflow_provider_adobe_target.profiles.values.text_column import TextColumn

_FIRST_ROWS = 2_000
_FURTHER_ROWS = 100  # of one batch in _EVERY_ROWS rows
_EVERY_ROWS = 32_768
_MIN_NUMBER_LENGTH = 9  # of a phone number with its separators
_MAX_LENGTH = 5_000  # characters of a value that are searched

# Patterns are for RE2, whose time is linear in the length of the value.
_EMAIL = r"[A-Za-z0-9._%+'-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}"
_PHONE = r"^\s*(\+|00)[1-9][0-9 ()/-]{6,18}[0-9]\s*$|^\s*\(?0[1-9][0-9]{1,4}\)?[ /-]([0-9]+[ /-]?)+[0-9]\s*$"
_CARD = r"^\s*[2-6][0-9]{3}([ -]?[0-9]){9,15}\s*$"
_DIGEST = re.compile("[0-9a-f]{64}")
_MIN_CARD_SHARE = 0.5  # one of ten random numbers has a valid check digit

log = logging.getLogger(__name__)


def check_blocked(attributes: Mapping[str, str], rules: PrivacyRules) -> None:
    """Check that no attribute is blocked, and that every hashed attribute exists.

    :param attributes: Columns by attribute name.
    :raises ProfileDataError: If an attribute is blocked and not hashed, or a name in ``hash_attributes`` is unknown.
    """
    known = {name.lower() for item in attributes.items() for name in item}
    unknown = [name for name in rules.options.hash_attributes if name.strip().lower() not in known]
    if unknown:
        raise ProfileDataError(
            f"hash_attributes has {', '.join(map(repr, unknown))}, which is not an attribute of these rows. Nothing "
            "was sent. An id cannot be hashed here: hash it where it is read."
        )
    for name, column in attributes.items():
        pattern = None if rules.is_hashed(name, column) else rules.blocking_pattern(name, column)
        if pattern:
            raise ProfileDataError(
                f"Attribute {name!r} must not be sent: block_attributes has {pattern!r}. Nothing was sent. Remove the "
                "column from the rows, list the columns to send in attributes, or add it to hash_attributes."
            )


def hash_texts(values: TextColumn, salt: str | None) -> TextColumn:
    """Return the digests of trimmed, lower-cased texts in hexadecimal. Texts of blanks only become null.

    Texts that are SHA-256 digests already are kept, so that rows of a rejects file can be sent again.

    :param values: Column of texts. Cells without a text form are kept.
    :param salt: Key of the HMAC; None for a plain SHA-256.
    """
    encoded = values.text.dictionary_encode()
    digests = [_digest(text, salt) for text in encoded.dictionary.to_pylist()]
    text = pa.array(digests, pa.string()).take(encoded.indices)
    return TextColumn(text, values.unsupported, plain=True)


def _digest(text: str, salt: str | None) -> str | None:
    if _DIGEST.fullmatch(text):
        return text
    content = text.strip().lower().encode()
    if not content:
        return None
    if salt is None:
        return hashlib.sha256(content).hexdigest()
    return hmac.digest(salt.encode(), content, "sha256").hex()


class PersonalDataCheck:
    """Search a sample of the values of a run for personal data.

    The sample has 2,000 rows of the first batches, and then 100 rows of one batch in 32,768 rows, evenly spaced.

    :param rules: Rules of the run.
    """

    def __init__(self, rules: PrivacyRules) -> None:
        self._action = rules.options.on_personal_data
        self._rows = self._rows_sampled = self._next_sample = 0
        self._sampled: Counter[str] = Counter()
        self._found: dict[str, Counter[str]] = defaultdict(Counter)
        self._logged: set[tuple[str, str]] = set()

    def add(self, texts: Mapping[str, pa.StringArray]) -> None:
        """Search the sample of one batch.

        :param texts: Texts of the attributes that are not hashed, by column.
        :raises ProfileDataError: With ``fail``, if personal data was found.
        """
        if self._action == "ignore" or not texts:
            return
        rows = len(next(iter(texts.values())))
        self._rows += rows
        most = max(_FIRST_ROWS - self._rows_sampled, 0)
        if not most and self._rows >= self._next_sample:
            most = _FURTHER_ROWS
        if not most or not rows:
            return
        self._next_sample = self._rows + _EVERY_ROWS
        self._rows_sampled += min(rows, most)
        indices = pa.array(np.linspace(0, rows - 1, most).astype(np.int64)) if rows > most else None
        for column, text in texts.items():
            sample = (text if indices is None else text.take(indices)).drop_null()
            self._sampled[column] += len(sample)
            for kind, count in _kinds(sample).items():
                self._found[column][kind] += count
        self._report()

    def _report(self) -> None:
        findings = {
            (column, kind): count
            for column, kinds in self._found.items()
            for kind, count in kinds.items()
            if kind != "payment card numbers" or count >= _MIN_CARD_SHARE * kinds["numbers of that length"]
        }
        findings = {finding: count for finding, count in findings.items() if finding[1] != "numbers of that length"}
        for (column, kind), count in findings.items():
            if (column, kind) in self._logged:
                continue
            self._logged.add((column, kind))
            message = f"Column {column!r} has {kind}: {count:,} of {self._sampled[column]:,} values in a sample."
            if self._action == "fail":
                raise ProfileDataError(
                    f"{message} Remove the column, add it to hash_attributes, or set on_personal_data='warn'."
                )
            log.warning("%s Adobe's terms may not allow it. hash_attributes sends digests instead.", message)


def _kinds(sample: pa.StringArray) -> dict[str, int]:
    """Count the values of a sample that look like personal data, by kind."""
    if not len(sample):
        return {}
    sample = pc.utf8_slice_codeunits(sample, 0, _MAX_LENGTH)
    counts = {}
    if pc.any(pc.match_substring(sample, "@")).as_py():
        counts["e-mail addresses"] = _matches(sample, _EMAIL)
    long = sample.filter(pc.greater_equal(pc.binary_length(sample), _MIN_NUMBER_LENGTH))
    counts["phone numbers"] = _matches(long, _PHONE)
    cards = long.filter(pc.match_substring_regex(long, _CARD)).to_pylist()
    counts["payment card numbers"] = sum(map(is_card_number, cards))
    counts["numbers of that length"] = len(cards) if counts["payment card numbers"] else 0
    return {kind: count for kind, count in counts.items() if count}


def _matches(sample: pa.StringArray, pattern: str) -> int:
    return int(pc.sum(pc.match_substring_regex(sample, pattern)).as_py() or 0)


def is_card_number(text: str) -> bool:
    """Return whether the digits of a text have the length and the check digit (Luhn) of a payment card number."""
    digits = [int(character) for character in text if character.isdecimal()]
    if not 13 <= len(digits) <= 19:
        return False
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
