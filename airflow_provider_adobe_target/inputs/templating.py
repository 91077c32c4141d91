"""Operator arguments that resolve templates and XComs but are hidden in the serialised DAG and the rendered fields."""

from __future__ import annotations

import ast
import copy
import json
import logging
from collections.abc import Iterable, Mapping
from typing import Any

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.inputs.arguments import InvalidArgumentError
from airflow_provider_adobe_target.version_compat import ResolveMixin, XComArg

log = logging.getLogger(__name__)

_ROWS = ("data", "id_map", "universe_data")  # arguments that hold rows


def _upstream_parts(value: Any) -> list[Any]:
    """Return the upstream outputs in a value: the value itself, or the items of a list."""
    return [item for item in (value if isinstance(value, (list, tuple)) else [value]) if isinstance(item, ResolveMixin)]


class RowsArgument(ResolveMixin):  # type: ignore[misc]  # Airflow's class has another path in each generation
    """Rows as an operator argument. Upstream output is resolved; the rows are hidden in the Airflow UI and database.

    In a plain template field, the rows would be stored in the serialised DAG and the rendered fields, and Jinja would
    render values that contain template syntax.

    :param value: Rows, an ``XComArg``, or a list of both.
    """

    def __init__(self, value: Any) -> None:
        self.value = value

    @classmethod
    def of(cls, value: Any) -> RowsArgument | None:
        """Wrap a constructor argument. None and wrapped rows are returned unchanged."""
        return value if value is None or isinstance(value, RowsArgument) else cls(value)

    def iter_references(self) -> Iterable[Any]:
        """Return the upstream tasks that the rows depend on."""
        return (reference for part in _upstream_parts(self.value) for reference in part.iter_references())

    def resolve(self, context: Any, **kwargs: Any) -> RowsArgument:
        """Return the rows with upstream output resolved. Upstream output of None is dropped from lists."""
        if not _upstream_parts(self.value):
            return self
        if isinstance(self.value, ResolveMixin):
            return RowsArgument(self.value.resolve(context, **kwargs))
        parts = [item.resolve(context, **kwargs) if isinstance(item, ResolveMixin) else item for item in self.value]
        given = [part for part in parts if part is not None]
        if len(given) < len(parts):
            log.info("Upstream outputs that are None are left out: %s of %s.", len(parts) - len(given), len(parts))
        return RowsArgument(given)

    def __deepcopy__(self, memo: dict[int, Any]) -> RowsArgument:
        """Copy references to upstream tasks. Rows are immutable and are shared."""
        return RowsArgument(copy.deepcopy(self.value, memo)) if _upstream_parts(self.value) else self

    def __repr__(self) -> str:
        return "<rows>"


class RowsPartial:
    """Wrapper around the result of ``Operator.partial`` that hides mapped rows.

    :param partial: Airflow's ``OperatorPartial``.
    """

    def __init__(self, partial: Any) -> None:
        self._partial = partial

    def expand(self, **mapped: Any) -> Any:
        """Map over arguments, as ``OperatorPartial.expand``.

        :raises ProfileDataError: If rows are expanded over a dict.
        """
        for name in _ROWS:
            if isinstance(mapped.get(name), Mapping):
                raise ProfileDataError(
                    f"{name} cannot be expanded over a dict, which would show rows in the serialised DAG. Expand over "
                    "a list, or over an upstream task's output."
                )
            if isinstance(mapped.get(name), (list, tuple)):
                mapped[name] = [hidden_rows(rows) for rows in mapped[name]]
        return self._partial.expand(**mapped)

    def expand_kwargs(self, kwargs: Any, **options: Any) -> Any:
        """Map over dicts of arguments, as ``OperatorPartial.expand_kwargs``."""
        if isinstance(kwargs, (list, tuple)):
            kwargs = [with_hidden_rows(item) if isinstance(item, Mapping) else item for item in kwargs]
        return self._partial.expand_kwargs(kwargs, **options)


def with_hidden_rows(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return operator arguments with rows wrapped in :class:`RowsArgument`."""
    return {name: hidden_rows(value) if name in _ROWS else value for name, value in arguments.items()}


def hidden_rows(data: Any) -> Any:
    """Wrap rows in :class:`RowsArgument`. None and upstream output are returned unchanged."""
    return data if data is None or isinstance(data, ResolveMixin) else RowsArgument(data)


def render_object(template: str, context: Any) -> Any:
    """Render a template, independent of the DAG's ``render_template_as_native_obj``.

    :return: The object if the template is a single expression, such as ``{{ params.id }}``; otherwise text. Unlike
        Airflow's native rendering, text is never evaluated: ``"1_000"`` does not become 1000.
    :raises InvalidArgumentError: If an expression within text is null or a collection.
    """
    from jinja2.nativetypes import NativeCodeGenerator
    from jinja2.nodes import Impossible, TemplateData

    class ObjectCodeGenerator(NativeCodeGenerator):
        def _output_child_to_const(self, node: Any, frame: Any, finalize: Any) -> Any:
            if not isinstance(node, TemplateData):
                raise Impossible  # keep a constant expression as an object; Jinja would convert it to text
            return super()._output_child_to_const(node, frame, finalize)

    env = context["dag"].get_template_env(force_sandboxed=True)
    env.code_generator_class = ObjectCodeGenerator
    compiled = env.from_string(template)
    # Not compiled.render(), which reads every value of the context and so triggers Airflow's deprecation warnings.
    variables: Any = copy.copy(context)
    variables.update((name, value) for name, value in env.globals.items() if name not in context)
    parts = list(compiled.root_render_func(env.context_class(env, variables, compiled.name, compiled.blocks)))
    value = parts[0] if len(parts) == 1 else "".join(map(_part_text, parts))
    return str(value) if isinstance(value, env.undefined) else value


def _part_text(value: Any) -> str:
    """Return the text of one part of a template. Booleans have the same text as attributes.

    :raises InvalidArgumentError: If the part is null or a collection, whose Python text would become part of the value.
    """
    if value is None or isinstance(value, (list, tuple, set, dict)):
        kind = "null" if value is None else type(value).__name__
        raise InvalidArgumentError(
            f"A template inserts {kind} into text. Give text, for example with {{{{ params.id or '' }}}}, or use the "
            "expression alone."
        )
    return str(value).lower() if isinstance(value, bool) else str(value)


class HiddenTemplate(RowsArgument):
    """A templated argument whose representation is ``<hidden>``, before and after rendering.

    A plain template field would be stored, rendered, in Airflow's database and displayed in the UI.

    :param value: Text, ``XComArg``, or nested dicts and lists of these.
    :param is_template: Whether text is rendered. Upstream output is never rendered.
    """

    def __init__(self, value: Any, *, is_template: bool = True) -> None:
        super().__init__(value)
        self._is_template = is_template

    def iter_references(self) -> Iterable[Any]:
        """Return the upstream tasks that the value depends on."""
        return XComArg.iter_xcom_references(self.value)

    def resolve(self, context: Any, **kwargs: Any) -> HiddenTemplate:
        """Return the value with templates rendered and upstream output resolved."""
        return HiddenTemplate(self._resolved(self.value, context), is_template=False)

    def _resolved(self, value: Any, context: Any) -> Any:
        if isinstance(value, dict):
            return {name: self._resolved(item, context) for name, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._resolved(item, context) for item in value]
        if isinstance(value, str) and not (self._is_template and "{" in value):
            return value
        if isinstance(value, str):
            return render_object(value, context)
        return context["task"].render_template(value, context)

    def __deepcopy__(self, memo: dict[int, Any]) -> HiddenTemplate:
        """Copy the references to upstream tasks."""
        return HiddenTemplate(copy.deepcopy(self.value, memo), is_template=self._is_template)

    def __repr__(self) -> str:
        return "<hidden>"


class HidingPartial(RowsPartial):
    """Wrapper around the result of ``partial`` of a single-profile operator. It hides mapped rows and profiles.

    :param partial: Airflow's ``OperatorPartial``.
    """

    def expand(self, **mapped: Any) -> Any:
        """Map over arguments, as ``OperatorPartial.expand``."""
        return super().expand(
            **{
                name: [hidden(name, item) for item in value] if isinstance(value, (list, tuple)) else value
                for name, value in mapped.items()
            }
        )

    def expand_kwargs(self, kwargs: Any, **options: Any) -> Any:
        """Map over dicts of arguments, as ``OperatorPartial.expand_kwargs``."""
        if isinstance(kwargs, (list, tuple)):
            kwargs = [with_hidden_profile(item) if isinstance(item, Mapping) else item for item in kwargs]
        return super().expand_kwargs(kwargs, **options)


def with_hidden_profile(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return operator arguments with rows and profile values hidden."""
    return {name: hidden(name, value) for name, value in arguments.items()}


def hidden(name: str, value: Any) -> Any:
    """Wrap an argument if it contains rows or profile values. Upstream output is returned unchanged."""
    if name in _ROWS:
        return hidden_rows(value)
    is_hidden = name in ("profile_id", "attributes") and value is not None and not isinstance(value, ResolveMixin)
    return HiddenTemplate(value) if is_hidden else value


def parse_rendered(name: str, text: str, remedy: str) -> Any:
    """Return the value of a list or dict that Jinja rendered as text.

    :param name: Name of the argument, for the error.
    :param remedy: What to pass instead.
    :raises ProfileDataError: If the text is neither JSON nor a Python literal.
    """
    for parse in (json.loads, ast.literal_eval):
        try:
            return parse(text)
        except (ValueError, SyntaxError):
            continue
    raise ProfileDataError(f"{name} is text that is neither JSON nor a Python literal. {remedy}")
