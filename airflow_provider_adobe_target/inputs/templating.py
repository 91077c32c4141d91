"""Arguments that are templated, and shown to nobody."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from airflow_provider_adobe_target.exceptions import ProfileDataError
from airflow_provider_adobe_target.version_compat import ResolveMixin, XComArg

_ROWS = ("data", "id_map", "universe_data")  # arguments that hold rows


def _upstream_parts(value: Any) -> list[Any]:
    """Return the upstream outputs that rows consist of: the value itself, or items of a list."""
    return [item for item in (value if isinstance(value, (list, tuple)) else [value]) if isinstance(item, ResolveMixin)]


class RowsArgument(ResolveMixin):  # type: ignore[misc]  # Airflow's class has another path in each generation
    """Rows as an operator's argument: resolved where they are an upstream task's output, and shown to nobody.

    As a plain template field they would stand in the serialised DAG and among the rendered fields, and Jinja would
    run what looks like a template in a customer's text.

    :param value: the rows, or an ``XComArg`` for them
    """

    def __init__(self, value: Any) -> None:
        self.value = value

    @classmethod
    def of(cls, value: Any) -> RowsArgument | None:
        """Hide what a constructor was given, unless that was done before."""
        return value if value is None or isinstance(value, RowsArgument) else cls(value)

    def iter_references(self) -> Iterable[Any]:
        """Return the upstream tasks whose output these rows are."""
        return (reference for part in _upstream_parts(self.value) for reference in part.iter_references())

    def resolve(self, context: Any, **kwargs: Any) -> RowsArgument:
        """Fetch the upstream task's output."""
        if not _upstream_parts(self.value):
            return self
        if isinstance(self.value, ResolveMixin):
            return RowsArgument(self.value.resolve(context, **kwargs))
        parts = (item.resolve(context, **kwargs) if isinstance(item, ResolveMixin) else item for item in self.value)
        return RowsArgument([part for part in parts if part is not None])

    def __deepcopy__(self, memo: dict[int, Any]) -> RowsArgument:
        """Copy the reference to an upstream task; rows are never changed and stay one."""
        return RowsArgument(copy.deepcopy(self.value, memo)) if _upstream_parts(self.value) else self

    def __repr__(self) -> str:
        return "<rows>"


class RowsPartial:
    """What ``partial`` returns: arguments to be mapped over, among which rows are shown to nobody either.

    :param partial: Airflow's own
    """

    def __init__(self, partial: Any) -> None:
        self._partial = partial

    def expand(self, **mapped: Any) -> Any:
        """Map over arguments, as with every operator."""
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
        """Map over dicts of arguments, as with every operator."""
        if isinstance(kwargs, (list, tuple)):
            kwargs = [with_hidden_rows(item) if isinstance(item, Mapping) else item for item in kwargs]
        return self._partial.expand_kwargs(kwargs, **options)


def with_hidden_rows(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments of the operator of which those that hold rows show nothing."""
    return {name: hidden_rows(value) if name in _ROWS else value for name, value in arguments.items()}


def hidden_rows(data: Any) -> Any:
    """Return rows that are there already as :class:`RowsArgument`, and an upstream task's output as it is."""
    return data if data is None or isinstance(data, ResolveMixin) else RowsArgument(data)


def render_object(template: str, context: Any) -> Any:
    """Render a template in the same way in every DAG, whether or not it renders native objects.

    :return: the object itself if the template is one expression, such as ``{{ params.id }}``; otherwise text. Unlike
        Airflow's native rendering, text is never evaluated: ``"1_000"`` does not become 1000.
    """
    from jinja2.nativetypes import NativeCodeGenerator
    from jinja2.nodes import Impossible, TemplateData

    class ObjectCodeGenerator(NativeCodeGenerator):
        def _output_child_to_const(self, node: Any, frame: Any, finalize: Any) -> Any:
            if not isinstance(node, TemplateData):
                raise Impossible  # a constant expression stays an object; Jinja would write it as text
            return super()._output_child_to_const(node, frame, finalize)

    env = context["dag"].get_template_env(force_sandboxed=True)
    env.code_generator_class = ObjectCodeGenerator
    compiled = env.from_string(template)
    # Not compiled.render(): it reads every value of the context, and Airflow warns of deprecated ones.
    variables: Any = copy.copy(context)
    variables.update((name, value) for name, value in env.globals.items() if name not in context)
    parts = list(compiled.root_render_func(env.context_class(env, variables, compiled.name, compiled.blocks)))
    value = parts[0] if len(parts) == 1 else "".join(map(str, parts))
    return str(value) if isinstance(value, env.undefined) else value


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
        if isinstance(value, str):
            return render_object(value, context)
        return context["task"].render_template(value, context)

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
