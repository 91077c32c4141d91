"""Attributes that are not columns: constants, templates, functions and stamps.

DAG files import this module, so it has no heavy imports.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from airflow_provider_adobe_target.exceptions import ProfileDataError

if TYPE_CHECKING:
    import pyarrow as pa

Constant = str | int | float | bool | Decimal | date | datetime

_CONSTANTS = (str, int, float, bool, Decimal, date, datetime)
_PART = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


@dataclass(frozen=True)
class RunStamp:
    """Values of the stamps of one run.

    :param sent_at: Time at which the run started.
    :param run_id: ID of the run.
    """

    sent_at: datetime
    run_id: str

    @property
    def sent_at_text(self) -> str:
        """UTC time, as in ``2026-01-31T23:59:59Z``."""
        return self.sent_at.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, repr=False)
class DerivedAttributes:
    """Attributes that are computed for each row, in addition to those of the columns. The ``repr`` has names only.

    :param constants: Value of each attribute, the same for all rows: text, number, boolean or date. The values are
        written as those of a column.
    :param templates: Text of each attribute, with column names in braces, such as ``"{first_name} {last_name}"``. Each
        column is inserted as the text that it would have as an attribute. ``{{`` and ``}}`` are braces. If one of the
        columns is null, the attribute is null. Templates have no formats, conversions or code.
    :param functions: Function of each attribute. Its argument is a ``pyarrow.RecordBatch`` with all columns of some
        rows. It returns an Arrow array with one value for each row, or one value for all of them. It must always return
        the same values for the same rows, because rows may be read again.
    :param sent_at: Name of an attribute that gets the UTC time at which the DAG run started.
    :param run_id: Name of an attribute that gets the ID of the DAG run.
    """

    constants: Mapping[str, Constant] = field(default_factory=dict)
    templates: Mapping[str, str] = field(default_factory=dict)
    functions: Mapping[str, Callable[[pa.RecordBatch], Any]] = field(default_factory=dict)
    sent_at: str | None = None
    run_id: str | None = None

    def __post_init__(self) -> None:
        """Check the types, the templates, and that no attribute is named twice.

        :raises ProfileDataError: If an argument is invalid. The message has no value.
        """
        for argument in ("constants", "templates", "functions"):
            if not isinstance(getattr(self, argument), Mapping):
                raise ProfileDataError(f"{argument} must be a dict of attribute names.")
        for name, value in self.constants.items():
            if not isinstance(value, _CONSTANTS) or value == "":
                raise ProfileDataError(
                    f"constants[{name!r}] must be text, a number, a boolean or a date, and not empty."
                )
        for name, template in self.templates.items():
            template_parts(name, template)
        for name, function in self.functions.items():
            if not callable(function):
                raise ProfileDataError(f"functions[{name!r}] must be a function, not {type(function).__name__}.")
        for argument in ("sent_at", "run_id"):
            name = getattr(self, argument)
            if name is not None and not (isinstance(name, str) and name):
                raise ProfileDataError(f"{argument} must be the name of an attribute.")
        names = [*self.names, *self.stamp_names]
        repeated = sorted({str(name) for name in names if names.count(name) > 1})
        if repeated or not all(isinstance(name, str) for name in names):
            raise ProfileDataError(f"Each derived attribute needs a name of its own: {', '.join(repeated) or 'text'}.")

    def __repr__(self) -> str:
        shown = {
            "constants": sorted(self.constants),
            "templates": sorted(self.templates),
            "functions": sorted(self.functions),
            "sent_at": self.sent_at,
            "run_id": self.run_id,
        }
        return f"DerivedAttributes({', '.join(f'{name}={value!r}' for name, value in shown.items() if value)})"

    @property
    def names(self) -> list[str]:
        """Names of the attributes without stamps."""
        return [*self.constants, *self.templates, *self.functions]

    @property
    def stamp_names(self) -> list[str]:
        """Names of the stamps."""
        return [name for name in (self.sent_at, self.run_id) if name]

    def stamps(self, stamp: RunStamp) -> dict[str, str]:
        """Return the texts of the stamps by name."""
        texts = {self.sent_at: stamp.sent_at_text, self.run_id: stamp.run_id}
        return {name: text for name, text in texts.items() if name}

    def template_columns(self, name: str) -> list[str]:
        """Return the columns of a template."""
        return [column for _, column in template_parts(name, self.templates[name]) if column is not None]


NO_DERIVED_ATTRIBUTES = DerivedAttributes()
"""No further attributes."""


def template_parts(name: str, template: object) -> Sequence[tuple[str, str | None]]:
    """Split a template into pairs of literal text and the column that follows it; None after the last text.

    :param name: Attribute name, for messages.
    :raises ProfileDataError: If the template is invalid.
    """
    if not isinstance(template, str):
        raise ProfileDataError(f"templates[{name!r}] must be text, not {type(template).__name__}.")
    parts: list[tuple[str, str | None]] = []
    literal, end = "", 0
    for match in _PART.finditer(template):
        literal += template[end : match.start()]
        end = match.end()
        if match[0] in ("{{", "}}"):
            literal += match[0][0]
        elif match[1]:
            parts.append((literal, match[1]))
            literal = ""
        else:
            raise ProfileDataError(f"templates[{name!r}] has a brace without a column name. Write {{{{ for a brace.")
    if not parts:
        raise ProfileDataError(f"templates[{name!r}] has no column. Use constants for text that is always the same.")
    return [*parts, (literal + template[end:], None)]


def check_derived(options: object) -> None:
    """Check the ``derived`` argument of an operator.

    :raises ProfileDataError: If it is neither None nor :class:`DerivedAttributes`.
    """
    if options is not None and not isinstance(options, DerivedAttributes):
        raise ProfileDataError(f"derived must be DerivedAttributes(…), not {type(options).__name__}.")
