"""Arguments that are templated, and shown to nobody."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from airflow_provider_adobe_target.airflow_compat import ResolveMixin, XComArg
from airflow_provider_adobe_target.operators.rows import RowsArgument, RowsPartial, hidden_rows

_NOTHING = "{##}"  # a comment of Jinja's, so that text that ends in ".sql" is no file's name


class HiddenTemplate(RowsArgument):
    """An argument that Jinja renders, and that shows as ``<hidden>`` before and after.

    As a plain template field it would stand, rendered, in Airflow's database and pages.

    :param value: text, a dict or a list of these, or an ``XComArg``; also nested
    :param is_template: whether its text is a template; what comes from an upstream task is not, whatever it looks like
    """

    def __init__(self, value: Any, *, is_template: bool = True) -> None:
        super().__init__(value)
        self._is_template = is_template

    def iter_references(self) -> Iterable[Any]:
        """Return the upstream tasks whose output is used."""
        return XComArg.iter_xcom_references(self.value)

    def resolve(self, context: Any, **kwargs: Any) -> HiddenTemplate:
        """Render the templates, and fetch upstream tasks' output."""
        return HiddenTemplate(self._resolved(self.value, context), is_template=False)

    def _resolved(self, value: Any, context: Any) -> Any:
        if isinstance(value, dict):
            return {name: self._resolved(item, context) for name, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._resolved(item, context) for item in value]
        if isinstance(value, str) and not (self._is_template and "{" in value):
            return value
        return context["task"].render_template(value + _NOTHING if isinstance(value, str) else value, context)

    def __deepcopy__(self, memo: dict[int, Any]) -> HiddenTemplate:
        """Copy the references to upstream tasks."""
        return HiddenTemplate(copy.deepcopy(self.value, memo), is_template=self._is_template)

    def __repr__(self) -> str:
        return "<hidden>"


class HidingPartial(RowsPartial):
    """What ``partial`` of an operator for single profiles returns: neither rows nor a profile show.

    :param partial: Airflow's own
    """

    def expand(self, **mapped: Any) -> Any:
        """Map over arguments, as with every operator."""
        return super().expand(
            **{
                name: [hidden(name, item) for item in value] if isinstance(value, (list, tuple)) else value
                for name, value in mapped.items()
            }
        )

    def expand_kwargs(self, kwargs: Any, **options: Any) -> Any:
        """Map over dicts of arguments, as with every operator."""
        if isinstance(kwargs, (list, tuple)):
            kwargs = [with_hidden_profile(item) if isinstance(item, Mapping) else item for item in kwargs]
        return super().expand_kwargs(kwargs, **options)


def with_hidden_profile(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments of an operator of which those of a profile show nothing."""
    return {name: hidden(name, value) for name, value in arguments.items()}


def hidden(name: str, value: Any) -> Any:
    """Return an argument hidden if it is of a profile, or rows; an upstream task's output stays as it is."""
    if name == "data":
        return hidden_rows(value)
    is_hidden = name in ("profile_id", "attributes") and value is not None and not isinstance(value, ResolveMixin)
    return HiddenTemplate(value) if is_hidden else value
