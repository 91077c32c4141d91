"""The decorator ``@task.bulk_profile_update``: upload the rows that a function returns."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    DecoratedOperator,
    context_merge,
    determine_kwargs,
    task_decorator_factory,
)

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.inputs.arguments import InvalidArgumentError
from airflow_provider_adobe_target.inputs.templating import HiddenTemplate, RowsArgument
from airflow_provider_adobe_target.operators.bulk_profile_update import BulkProfileUpdateOperator
from airflow_provider_adobe_target.version_compat import ObjectStoragePath, ResolveMixin

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_provider_adobe_target.inputs.row_source import RowSource
    from airflow_provider_adobe_target.profiles.sources.rows import Rows
    from airflow_provider_adobe_target.version_compat import Context

_SOURCES = ("data", "sql", "path")
_SHOWN = (str, int, float, bool, type(None))


class _BulkProfileUpdateDecoratedOperator(DecoratedOperator, BulkProfileUpdateOperator):  # type: ignore[misc]
    """Operator behind ``@task.bulk_profile_update``.

    The function runs when the rows are read: once in ``execute``, and again after a deferral if Adobe Target refused
    rows or files are resubmitted. Arguments of the function that may contain rows are displayed as ``<hidden>``.
    """

    template_fields: Sequence[str] = (
        *DecoratedOperator.template_fields,
        *BulkProfileUpdateOperator.template_fields,
    )
    template_fields_renderers = {
        **DecoratedOperator.template_fields_renderers,
        **BulkProfileUpdateOperator.template_fields_renderers,
    }
    custom_operator_name = "@task.bulk_profile_update"

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        op_args: Collection[Any] | None = None,
        op_kwargs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        given = [name for name in _SOURCES if kwargs.get(name) is not None]
        if given:
            raise InvalidArgumentError(
                f"@task.bulk_profile_update does not accept {given[0]}: the function returns the rows or their paths."
            )
        self._context: Context | None = None
        self._returned: RowSource | None = None
        super().__init__(
            python_callable=python_callable,
            op_args=[_hidden(value) for value in op_args or ()],
            op_kwargs=_hidden_values(op_kwargs or {}),
            **{**kwargs, "data": RowsArgument(None)},
        )

    def execute(self, context: Context) -> dict[str, Any]:
        """Call the function, and upload the rows that it returns; see ``BulkProfileUpdateOperator``."""
        self._context = context
        return BulkProfileUpdateOperator.execute(self, context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Evaluate the batches after the deferral; see ``BulkProfileUpdateOperator``."""
        self._context = context
        return BulkProfileUpdateOperator.execute_complete(self, context, event)

    def _rows(self, folder: Path) -> Rows:
        if self._returned is None:
            self._returned = self._source_of(self._call_function())
        return self._returned.read()

    def _call_function(self) -> Any:
        context: Any = copy.copy(self._context)
        arguments = [_shown(value) for value in self.op_args]
        context_merge(context, {name: _shown(value) for name, value in self.op_kwargs.items()})
        return self.python_callable(*arguments, **determine_kwargs(self.python_callable, arguments, context))

    def _source_of(self, returned: Any) -> RowSource:
        """Return the source for a result of the function: paths, or rows.

        :raises ProfileDataError: If the function returned None.
        """
        if returned is None:
            raise ProfileDataError(
                f"The function {self.python_callable.__name__} returned None. It must return a DataFrame, an Arrow "
                "table, a list of dicts, a path or a list of paths. For no rows, return an empty list."
            )
        if _is_path(returned) or (isinstance(returned, (list, tuple)) and returned and all(map(_is_path, returned))):
            return replace(self._row_source, data=None, path=returned)
        return replace(self._row_source, data=RowsArgument(returned))


def _is_path(value: Any) -> bool:
    return isinstance(value, (str, os.PathLike, ObjectStoragePath))


def _hidden(value: Any) -> Any:
    """Wrap an argument of the function that is not a plain value, so that Airflow does not store or display it."""
    if isinstance(value, (*_SHOWN, RowsArgument)):
        return value
    return RowsArgument(value) if isinstance(value, ResolveMixin) else HiddenTemplate(value)


def _hidden_values(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _hidden(value) for name, value in arguments.items()}


def _shown(argument: Any) -> Any:
    """Return the value of an argument that :func:`_hidden` wrapped, at any level of mapping."""
    return _shown(argument.value) if isinstance(argument, RowsArgument) else argument


class _HidingTaskDecorator:
    """Wrapper around Airflow's task decorator that hides literal arguments of mapped tasks in the serialised DAG.

    :param decorator: Airflow's decorator of one function.
    """

    _airflow_is_task_decorator = True

    def __init__(self, decorator: Any) -> None:
        self._decorator = decorator

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Create the task."""
        return self._decorator(*arguments, **named)

    def __getattr__(self, name: str) -> Any:
        if name == "_decorator":  # while it is copied
            raise AttributeError(name)
        return getattr(self._decorator, name)

    def partial(self, **arguments: Any) -> _HidingTaskDecorator:
        """Return the decorator with some arguments of the function."""
        return _HidingTaskDecorator(self._decorator.partial(**_hidden_values(arguments)))

    def override(self, **arguments: Any) -> _HidingTaskDecorator:
        """Return the decorator with other arguments of the operator."""
        return _HidingTaskDecorator(self._decorator.override(**arguments))

    def expand(self, **mapped: Any) -> Any:
        """Map over arguments of the function."""
        for name, value in mapped.items():
            if isinstance(value, Mapping):
                raise InvalidArgumentError(
                    f"{name} cannot be expanded over a dict, which would show its values in the serialised DAG. Expand "
                    "over a list, or over an upstream task's output."
                )
        hidden = {
            name: [_hidden(item) for item in value] if isinstance(value, (list, tuple)) else value
            for name, value in mapped.items()
        }
        return self._decorator.expand(**hidden)

    def expand_kwargs(self, kwargs: Any, **options: Any) -> Any:
        """Map over dicts of arguments of the function."""
        if isinstance(kwargs, (list, tuple)):
            kwargs = [_hidden_values(item) if isinstance(item, Mapping) else item for item in kwargs]
        return self._decorator.expand_kwargs(kwargs, **options)


def bulk_profile_update_task(
    python_callable: Callable[..., Any] | None = None, multiple_outputs: bool | None = None, **kwargs: Any
) -> Any:
    """Turn a function into a task that uploads the rows which the function returns.

    Use it as ``@task.bulk_profile_update`` or ``@task.bulk_profile_update(...)``. The task returns the report.

    :param python_callable: Function to decorate. It returns a DataFrame, an Arrow table, a list of dicts, a path or a
        list of paths.
    :param multiple_outputs: Whether each key of the report is also a separate XCom.
    :param kwargs: Arguments of ``BulkProfileUpdateOperator``, except ``data``, ``sql`` and ``path``.
    """

    def decorate(function: Callable[..., Any]) -> _HidingTaskDecorator:
        return _HidingTaskDecorator(
            task_decorator_factory(
                python_callable=function,
                multiple_outputs=bool(multiple_outputs),
                decorated_operator_class=_BulkProfileUpdateDecoratedOperator,
                **kwargs,
            )
        )

    return decorate if python_callable is None else decorate(python_callable)
