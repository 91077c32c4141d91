"""The page at ``/``: batches, one profile, calls, settings. Plain HTML without scripts or external resources."""

from __future__ import annotations

import html
from dataclasses import fields
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_adobe_target.sandbox.messages import Answer, method_not_allowed, text_answer
from airflow_provider_adobe_target.sandbox.settings import SECRETS, SandboxSettings
from airflow_provider_adobe_target.sandbox.snapshot import CALLS_SHOWN, snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_provider_adobe_target.sandbox.messages import Call
    from airflow_provider_adobe_target.sandbox.state import State

BATCHES_SHOWN = 50
ID_TYPES = ("thirdPartyId", "pcId", "marketingCloudVisitorId")
NUMBERS = {"rows", "consumed", "successful", "not found", "failed", "bytes"}
LONG = {"columns", "value", "path", "meaning"}  # columns whose cells may wrap
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'"
STYLE = """
:root { color-scheme: light dark; --line: #8883; --accent: #d0392b }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 80rem; margin: 2rem auto; padding: 0 1.5rem }
h1 { font-size: 1.5rem; margin: 0 }
h2 { font-size: 1.05rem; margin: 2.2rem 0 .4rem }
p { margin: .3rem 0 .6rem }
.quiet { opacity: .65 }
.warning { border-left: 3px solid var(--accent); padding-left: .7rem }
.scroll { overflow-x: auto }
table { border-collapse: collapse; width: 100%; font-size: 13.5px }
th, td { text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0 }
tr { border-bottom: 1px solid var(--line) }
th { font-weight: 600 }
th, td { white-space: nowrap }
td.long { white-space: normal; overflow-wrap: anywhere; min-width: 10rem }
.number { text-align: right; font-variant-numeric: tabular-nums }
form { display: flex; gap: .5rem; flex-wrap: wrap; margin: .5rem 0 1rem }
header { display: flex; gap: .5rem 1.5rem; flex-wrap: wrap; justify-content: space-between; align-items: center }
header form { margin: 0 }
input, select, button { font: inherit; padding: .3rem .6rem; border: 1px solid var(--line) }
input { flex: 1; min-width: 10rem; max-width: 28rem }
"""


class Markup(str):
    """Text that is HTML. All other text is escaped when it is added to the page."""


def tag(name: str, /, *children: object, **attributes: str) -> Markup:
    """Return an HTML element. Children are escaped unless they are :class:`Markup`.

    :param name: Name of the element.
    :param children: Text, numbers or elements.
    :param attributes: Attributes. ``_`` in a name stands for ``-``; a trailing ``_`` is removed.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(value)}"' for key, value in attributes.items()
    )
    inside = "".join(child if isinstance(child, Markup) else html.escape(str(child)) for child in children)
    return Markup(f"<{name}{written}>{inside}</{name}>")


def page(state: State, call: Call) -> Answer:
    """Return the page, with the profile of ``?id_type=&id=`` if the query names one."""
    if call.method != "GET":
        return method_not_allowed("GET")
    known = snapshot(state, call)
    head = tag(
        "head",
        Markup('<meta charset="utf-8"><meta name="viewport" content="width=device-width">'),
        Markup('<link rel="icon" href="data:,">'),
        tag("title", "Adobe Target sandbox"),
        tag("style", Markup(STYLE)),
    )
    body = tag(
        "body",
        tag(
            "header",
            tag("h1", "Adobe Target sandbox"),
            tag(
                "form",
                tag("button", "Reset"),
                action="/reset",
                method="post",
                title="Delete everything except the settings",
            ),
        ),
        tag(
            "p",
            f"Client code {known['client_code']}. {_counted(known['profile_count'], 'profile', 'profiles')}, "
            f"{_counted(len(known['batches']), 'batch', 'batches')}. The sandbox's time is {known['now']}.",
            class_="quiet",
        ),
        *(tag("p", warning, class_="warning") for warning in known["warnings"]),
        *_batches(known["batches"]),
        *_profile(known["profile"]),
        *_calls(known["calls"], known["call_counts"]),
        *_settings(known["settings"]),
    )
    content = f"<!doctype html>{tag('html', head, body, lang='en')}"
    return Answer(200, content, {"Content-Security-Policy": POLICY}, content_type="text/html;charset=UTF-8")


def reset(state: State, call: Call) -> Answer:
    """Delete everything except the settings, and redirect to the page. Requests from other origins are refused."""
    if call.method != "POST":
        return method_not_allowed("POST")
    origin = call.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != call.host:
        return text_answer(403, "Only the sandbox's own page can reset it")
    state.begin(state.settings)
    return text_answer(303, "", {"Location": "/"})


def _table(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> Markup:
    names = list(columns)
    shown = [list(row) for row in rows]
    if not shown:
        return tag("p", "None.", class_="quiet")
    classes = ["number" if name in NUMBERS else "long" if name in LONG else "text" for name in names]
    lines = [tag("tr", *(tag("th", name, class_=kind) for name, kind in zip(names, classes, strict=True)))]
    lines += [tag("tr", *(tag("td", c, class_=kind) for c, kind in zip(row, classes, strict=True))) for row in shown]
    return tag("div", tag("table", *lines), class_="scroll")


def _counted(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def _batches(batches: list[dict[str, Any]]) -> list[Markup]:
    columns = {
        "received": "received_at",
        "batch id": "batch_id",
        "version": "version",
        "status": "status",
        "rows": "rows",
        "consumed": "consumed",
        "successful": "successful",
        "not found": "not_found",
        "failed": "failed",
        "bytes": "body_bytes",
        "columns": "names",
    }
    rows = [{**batch, "names": ", ".join([batch["key"], *batch["names"]])} for batch in batches[:BATCHES_SHOWN]]
    return [tag("h2", "Batches"), _table(columns, ([row[key] for key in columns.values()] for row in rows))]


def _profile(profile: dict[str, Any] | None) -> list[Markup]:
    asked = profile or {"id_type": ID_TYPES[0], "id": ""}
    choices = [
        tag("option", name, value=name, **({"selected": "selected"} if name == asked["id_type"] else {}))
        for name in ID_TYPES
    ]
    form = tag(
        "form",
        tag("select", *choices, name="id_type", aria_label="id type"),
        Markup(f'<input name="id" aria-label="id" placeholder="id" value="{html.escape(asked["id"])}">'),
        tag("button", "Show profile"),
        action="/",
    )
    parts = [tag("h2", "One profile"), form]
    if profile is None:
        return parts
    if not profile["is_known"]:
        return [*parts, tag("p", "This profile does not exist.")]
    rows = [
        [
            entry["name"],
            entry["value"],
            entry["origin"],
            entry["written_at"],
            "yes" if entry["is_visible"] else "not yet",
        ]
        for entry in profile["attributes"]
    ]
    ids = "Known as " + ", ".join(f"{id_type} {value}" for id_type, value in profile["ids"])
    return [*parts, tag("p", ids), _table(["attribute", "value", "from", "written", "in fetch"], rows)]


def _calls(calls: list[dict[str, Any]], counts: dict[str, int]) -> list[Markup]:
    rows = [
        [
            call["at"],
            call["route"],
            call["method"],
            call["path"] + ("?" + call["query"] if call["query"] else ""),
            call["host"],
            call["body_bytes"],
            "interrupted" if call["status"] is None else call["status"],
        ]
        for call in calls
    ]
    columns = ["at", "route", "method", "path", "host", "bytes", "answer"]
    total = ", ".join(f"{route} {count:,}" for route, count in sorted(counts.items()))
    return [tag("h2", f"The last {CALLS_SHOWN} calls"), tag("p", f"In all: {total or 'none'}."), _table(columns, rows)]


def _settings(settings: dict[str, Any]) -> list[Markup]:
    rows = []
    for setting in fields(SandboxSettings):
        value = settings[setting.name]
        is_default = value == setting.default or (setting.name in SECRETS and value == "none")
        shown = ", ".join(value) if isinstance(value, tuple) else value
        rows.append([setting.name, shown if is_default else tag("strong", shown), setting.metadata["meaning"]])
    return [tag("h2", "Settings"), _table(["setting", "value", "meaning"], rows)]
