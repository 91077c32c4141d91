"""Options that keep personal data out of Adobe Target.

DAG files import this module, so it has no heavy imports.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from airflow_provider_adobe_target.argument_checks import check_choice
from airflow_provider_adobe_target.exceptions import ProfileDataError

Finding = Literal["warn", "fail", "ignore"]

DEFAULT_PATTERNS = (
    *("*email*", "*e-mail*", "*e_mail*", "*phone*", "*mobile_n*", "*fax*"),
    *("*card_n*", "*cardn*", "*credit_card*", "*creditcard*", "*iban*", "*passport*", "*ssn*", "*social_security*"),
)
"""Patterns that the word ``default`` stands for in ``block_attributes``."""


@dataclass(frozen=True)
class PrivacyOptions:
    """Rules for attributes and ids that may be personal data. Messages contain names and counts, never values.

    :param hash_attributes: Attributes that are sent as the SHA-256 digest of their trimmed, lower-cased text, in
        hexadecimal. If the connection has a ``hash_salt``, the digest is an HMAC with it. Texts that are digests
        already are kept. Case of names is ignored.
    :param block_attributes: Names of attributes that must not be sent, in any case, or patterns such as ``*email*``.
        If an attribute matches and is not hashed, the task ends before anything is sent. ``default`` stands for
        :data:`DEFAULT_PATTERNS`. The patterns of the connection apply in addition.
    :param on_personal_data: What to do if a sample of the values has e-mail addresses, phone numbers or payment card
        numbers: ``warn``, ``fail`` or ``ignore``.
    :param on_suspicious_id: What to do if ids look like ECIDs, e-mail addresses or Target ids, have leading or
        trailing blanks, or differ in case only: ``warn``, ``fail`` or ``ignore``.
    """

    hash_attributes: Sequence[str] = ()
    block_attributes: Sequence[str] = ()
    on_personal_data: Finding = "warn"
    on_suspicious_id: Finding = "warn"

    def __post_init__(self) -> None:
        """Check the options.

        :raises ProfileDataError: If an option has an invalid value.
        """
        for name in ("hash_attributes", "block_attributes"):
            value = getattr(self, name)
            if isinstance(value, str) or not all(isinstance(item, str) and item.strip() for item in value):
                raise ProfileDataError(f"{name} must be a list of names.")
        for name in ("on_personal_data", "on_suspicious_id"):
            check_choice(name, getattr(self, name), ("warn", "fail", "ignore"))


@dataclass(frozen=True)
class PrivacyRules:
    """Options of a task together with those of the connection.

    :param options: Options of the task.
    :param patterns: Patterns of the connection.
    :param salt: Key of the digests; None for none.
    """

    options: PrivacyOptions = PrivacyOptions()
    patterns: Sequence[str] = ()
    salt: str | None = field(default=None, repr=False)

    @property
    def checks_all_rows_first(self) -> bool:
        """Whether all rows must be checked before the first file is sent."""
        return "fail" in (self.options.on_personal_data, self.options.on_suspicious_id)

    def is_hashed(self, *names: str) -> bool:
        """Return whether an attribute is hashed.

        :param names: Names of the attribute and of its column.
        """
        hashed = {name.strip().lower() for name in self.options.hash_attributes}
        return any(name.lower() in hashed for name in names)

    def blocking_pattern(self, *names: str) -> str | None:
        """Return the first pattern that an attribute matches, or None.

        :param names: Names of the attribute and of its column.
        """
        patterns: list[str] = []
        for pattern in (*self.options.block_attributes, *self.patterns):
            patterns += DEFAULT_PATTERNS if pattern.strip().lower() == "default" else [pattern.strip()]
        for pattern in patterns:
            if any(fnmatch.fnmatchcase(name.lower(), pattern.lower()) for name in names):
                return pattern
        return None


def check_privacy(options: object) -> None:
    """Check the ``privacy`` argument of an operator.

    :raises ProfileDataError: If it is neither None nor :class:`PrivacyOptions`.
    """
    if options is not None and not isinstance(options, PrivacyOptions):
        raise ProfileDataError(f"privacy must be PrivacyOptions(…), not {type(options).__name__}.")


NO_PRIVACY_OPTIONS = PrivacyRules()
"""Rules of a task without options: checks that warn."""
