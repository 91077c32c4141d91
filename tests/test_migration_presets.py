"""Every example of the pages about other tools, run against the sandbox over real sockets.

An example is an operator, arguments for the operator of its case, or fields of the connection.
"""

from __future__ import annotations

import ast
import asyncio
import json
import re
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest
from airflow.exceptions import TaskDeferred
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_adobe_target.operators import adobe_target
from airflow_provider_adobe_target.operators.adobe_target import (
    AudienceFlagOperator,
    BulkProfileUpdateOperator,
    EdgeProfileUpdateOperator,
    SingleProfileUpdateOperator,
)
from airflow_provider_adobe_target.sandbox import Answer, Sandbox
from airflow_provider_adobe_target.version_compat import AirflowFailException

PAGES = Path(__file__).parents[1] / "docs" / "how-to" / "migrate"
TOKEN, CREDENTIAL = "t0ken-of-the-tests", {"client_id": "airflow", "client_secret": "p8e-secret"}
BROWSER = ("1368007744041-575948.28_0", "pcId")
SEEN = {"seen": "yes"}
MISSING = Answer(404, '{"status": 404, "message": "No profile found for client acme"}')

TABLES = {
    "profiles (customer_id, tier, score, changed)": [("U1", "gold", 5, True), ("U2", "silver", 7, False)],
    "changes (id, tier)": [("U1", "gold"), ("U2", "silver")],
    "logins (thirdPartyId, ecid, session_id, edge_cluster)": [("U1", "42", "visit#1", 28), ("U2", "43", None, None)],
    "links (thirdPartyId, ECID, customerId, integrationCode, pcId)": [("U1", None, None, None, BROWSER[0])],
    "members (customer_id, audience)": [("U1", "vip")],
    "customers (customer_id)": [("U1",), ("U2",)],
    "visitors (customer_id, crm_id, ecid, tier)": [("U1", "C1", "42", "gold"), ("U2", "C2", "43", "silver")],
}
CSV = {
    "profiles.csv": "customer_id,loyalty_tier\nU1,gold\nU2,silver\n",
    "browsers.csv": f"mbox.id,tier\n{BROWSER[0]},gold\n",
}


@dataclass
class Run:
    """A finished example."""

    sandbox: Sandbox
    operator: Any
    report: dict[str, Any]
    folder: Path

    def routes(self) -> list[str]:
        return [call.route for call in self.sandbox.calls]


@dataclass(frozen=True)
class Case:
    """How an example is completed, and what the sandbox has afterwards.

    :param holds: Attributes by id, or by id and type. None for a profile that does not exist.
    :param base: Operator of an example that has arguments only.
    :param arguments: Arguments of that operator, unless the example has them.
    :param check: Further check, which raises or returns False.
    :param params: Values of templates.
    :param absent: Number of look-ups before the profile exists.
    :param password: Whether the connection has a password.
    """

    holds: Mapping[Any, dict[str, str] | None]
    base: type = BulkProfileUpdateOperator
    arguments: Mapping[str, Any] = field(
        default_factory=lambda: {"path": "/data/profiles.csv", "id_column": "customer_id"}
    )
    check: Callable[[Run], Any] = lambda run: None
    params: Mapping[str, str] = field(default_factory=dict)
    absent: int = 0
    password: bool = True


def has_token(run):
    calls = [call for call in run.sandbox.calls if call.route in ("submit", "single", "fetch", "status")]
    assert {call.headers["authorization"] for call in calls} == {f"Bearer {TOKEN}"}
    assert {call.path.split("/")[2] for call in calls if call.route in ("submit", "single")} == {"acme"}


def reads_the_token(run):
    has_token(run)
    assert {"ims", "admin"} <= set(run.routes())


def is_version(version):
    def check(run):
        [submit] = [call for call in run.sandbox.calls if call.route == "submit"]
        assert ("/v2/" in submit.path) == (version == "v2")
        assert (run.report["api_version"], run.report["batches"][0]["status"]) == (version, "complete")

    return check


def rejects_are_kept(run):
    [row] = pq.read_table(run.report["rejects_path"].removeprefix("file://")).to_pylist()
    assert (row["customer_id"], row["reject_reason"]) == ("U/3", "id_forbidden_character")
    assert str(run.folder) in run.report["rejects_path"]


def has_two_files(run):
    assert [batch.row_count for batch in run.sandbox.batches] == [2, 1]


def looks_first(run):
    assert run.routes() == ["fetch", "single"]


def looks_again(run):
    assert run.routes() == ["fetch", "fetch", "single"]


def links_are_in_the_table(run):
    with closing(sqlite3.connect(run.folder / "warehouse.db")) as warehouse:
        links = warehouse.execute("SELECT thirdPartyId, ECID, pcId FROM links WHERE ECID IS NOT NULL").fetchall()
    assert {link[:2] for link in links} == {("U1", "42"), ("U2", "43")}
    for third_party_id, _, pc_id in links:
        assert run.sandbox.profile(pc_id, "pcId") == run.sandbox.profile(third_party_id)


def is_in_the_session(run):
    sessions = {json.loads(call.body)["id"]["thirdPartyId"]: call.parameter("sessionId") for call in run.sandbox.calls}
    assert sessions["U1"] == "visit#1"
    assert len(sessions["U2"]) == 32


def asks_for(schedule):
    def check(run):
        dag = run.operator.dag
        return (dag.schedule if hasattr(dag, "schedule") else dag.schedule_interval) == schedule

    return check


def events(**headers):
    def check(run):
        calls = [call for call in run.sandbox.calls if call.route == "interact"]
        assert {call.parameter("datastreamId") for call in calls} == {"ds1"}
        for name, value in headers.items():
            assert {call.headers.get(name.replace("_", "-")) for call in calls} == {value}
        assert {"authorization" in call.headers for call in calls} == {run.operator.authenticated is not False}

    return check


def has_property(run):
    bodies = [json.loads(call.body) for call in run.sandbox.calls if call.route == "delivery"]
    assert [body["property"] for body in bodies] == [{"token": "08b62abd"}] * 2


U1 = {"U1": {**SEEN, "tier": "gold"}}
BOTH = {**U1, "U2": {"tier": "silver"}}
RENAMED = {"U1": {**SEEN, "loyalty_tier": "gold"}, "U2": {"loyalty_tier": "silver"}}
IN_BROWSER = {BROWSER: {**SEEN, "tier": "gold"}}
SINGLE = {"base": SingleProfileUpdateOperator, "arguments": {"profile_id": "U1", "attributes": {"tier": "gold"}}}
ONE_KNOWN = {"U1": {**SEEN, "tier": "gold"}, "U2": None}
REJECTING = {
    "data": [{"customer_id": "U1", "tier": "gold"}, {"customer_id": "U/3", "tier": "x"}], "id_column": "customer_id"
}  # fmt: skip
FLAGS = {
    "base": AudienceFlagOperator,
    "arguments": {
        "data": [{"thirdPartyId": "U1", "audience": "vip"}],
        "universe_data": [{"thirdPartyId": "U1"}, {"thirdPartyId": "U2"}],
    },
}
VIP = {"U1": {**SEEN, "audience.vip": "true"}, "U2": {"audience.vip": "false"}}
LINKED = {"U1": SEEN, ("42", "marketingCloudVisitorId"): SEEN, "U2": {}, ("43", "marketingCloudVisitorId"): {}}
EVENT = {"base": EdgeProfileUpdateOperator, "arguments": {"profile_id": "42", "attributes": {"tier": "gold"}}}
ECID = {("42", "marketingCloudVisitorId"): {"tier": "gold"}}

CASES = {
    "census": {
        "*Client ID*": Case(RENAMED, check=has_token),
        "source: model or table": Case(BOTH, arguments={"id_column": "customer_id"}),
        "sync key *Third Party ID*": Case(RENAMED),
        "sync key *Target ID*": Case(IN_BROWSER, check=is_version("v1")),
        "behavior *Update or Create*": Case(RENAMED, check=is_version("v2")),
        "field mapping": Case(BOTH),
        "schedule": Case(RENAMED, check=asks_for("@daily")),
        "rejected records of a sync": Case(U1, arguments=REJECTING, check=rejects_are_kept),
    },
    "segment": {
        "`client_code`": Case(U1, **SINGLE, check=has_token),
        "`bearer_token`": Case(U1, **SINGLE, check=has_token),
        "action *Update Profile*": Case(U1),
        "field `user_id` (*Mbox 3rd Party ID*)": Case(U1, **SINGLE, params={"user_id": "U1"}),
        "field `traits` (*Profile Attributes*)": Case(
            {"U1": {**SEEN, "address.city": "Zürich", "tier": "gold"}}, **SINGLE
        ),
        "lists: `tags.0`, `tags.1`": Case({"U1": {**SEEN, "tags": "a|b"}}, **SINGLE),
        "a `null` trait": Case({"U1": SEEN}, **SINGLE, check=lambda run: run.report["rows_empty"] == 1),
        "empty text, sent as `profile.x=`": Case({"U1": SEEN}, **SINGLE),
        "the lookup before the update": Case(U1, **SINGLE, check=looks_first),
        "retries for up to an hour while the profile does not exist": Case(U1, **SINGLE, absent=1, check=looks_again),
        "the same for many events": Case({**U1, "U2": {**SEEN, "tier": "silver"}}, absent=1),
        "many events": Case({**U1, "U2": {**SEEN, "tier": "silver"}}),
        "more than about ten thousand profiles": Case(BOTH, check=is_version("v2")),
        "*Segment function*: the Target id from the cookie `mbox` (`PC#<id>#…`)": Case(IN_BROWSER),
    },
    "treasure-data": {
        "query and database": Case(BOTH, arguments={"id_column": "customer_id"}),
        "authentication: client code (`client_code`)": Case(RENAMED, check=has_token),
        "authentication: Profile API access token": Case(RENAMED, check=has_token),
        "`api_version`": Case(RENAMED, check=is_version("v2")),
        "id column `thirdPartyId`": Case(RENAMED, arguments={"path": "/data/profiles.csv"}),
        "id column `mbox.id` (v1 only)": Case(
            IN_BROWSER, arguments={"path": "/data/browsers.csv"}, check=is_version("v1")
        ),
        "other columns": Case(BOTH),
        "`guaranteed_upload`": Case(
            RENAMED,
            arguments={"path": "/data/profiles.csv", "id_column": "customer_id", "max_rows_per_file": 1},
            check=lambda run: run.routes() == ["submit", "status"] * 2,
        ),
        "`skip_invalid_records`": Case(U1, arguments=REJECTING, check=rejects_are_kept),
        "retries, waits and timeouts of calls": Case(RENAMED, check=lambda run: run.operator.retries == 3),
        "schedule": Case(RENAMED, check=asks_for("@daily")),
    },
    "zeotap": {
        "client code": Case(RENAMED, check=has_token),
        "client id, client secret, tenant id": Case(RENAMED, password=False, check=reads_the_token),
        "*Bulk update*: *Send Mbox 3rd party ID*": Case(RENAMED),
        "*Bulk update*: *Send PCID and attributes*": Case(IN_BROWSER, check=is_version("v1")),
        "*Single update*: *Send identifiers*": Case({"U1": {**SEEN, "segment_a": "true"}}),
        "*Single update*: *Stream Profile Properties*": Case({"U1": {**SEEN, "tier": "gold", "score": "5"}}),
        "*ID extension*, in Target": Case(LINKED, check=links_are_in_the_table),
        "session id and edge cluster": Case(LINKED, check=is_in_the_session),
        "*ID extension*, in the file": Case({**ONE_KNOWN, **IN_BROWSER}, check=has_two_files),
        "*ID extension* of single updates": Case(
            {**U1, BROWSER: {**SEEN, "tier": "gold"}, "U2": {**SEEN, "tier": "silver"}}
        ),
        "*Delete*": Case(VIP),
        "adding to and removing from an audience": Case(
            {
                "U1": {**VIP["U1"], "audience.churn_risk": "false"},
                "U2": {**VIP["U2"], "audience.churn_risk": "false"},
            },
            **FLAGS,
        ),
        "attributes that an audience in Target already uses": Case(
            {"U1": {**SEEN, "isVip": "true"}, "U2": {"isVip": "false"}}, **FLAGS
        ),
        "*Delta upload*": Case(
            {"U1": {**SEEN, "tier": "gold", "score": "5"}, "U2": None}, arguments={"id_column": "customer_id"}
        ),
    },
    "experience-platform": {
        "datastream id": Case(ECID, **EVENT, check=events()),
        "organization id": Case(ECID, **EVENT, check=events(x_gw_ims_org_id="ORG@AdobeOrg")),
        "OAuth server-to-server credential": Case(ECID, **EVENT, check=events(x_api_key="airflow")),
        "*Property Token*": Case(
            LINKED,
            base=adobe_target.IdentityLinkOperator,
            arguments={"sql": "SELECT thirdPartyId, ecid FROM logins", "sql_conn_id": "warehouse"},
            check=has_property,
        ),
        "*Target Third Party ID Namespace*": Case(U1, check=events()),
        "`identityMap` with one primary identity, `data.__adobe.target`": Case(
            {**ECID, ("43", "marketingCloudVisitorId"): {"tier": "silver"}}, check=events()
        ),
        "authenticated or anonymous endpoint": Case(ECID, check=events(x_api_key=None)),
        "the same for many rows": Case(RENAMED),
        "identities of a person": Case(LINKED),
        "data sources of Customer Attributes (integration codes)": Case(
            {"C1": {}, ("42", "marketingCloudVisitorId"): {}, "C2": {}, ("43", "marketingCloudVisitorId"): {}}
        ),
        "audience activated to Target": Case(VIP),
    },
}
# Cases in which U2 has a profile before, because single updates create none.
KNOWN = {
    "segment": ("the same for many events", "many events"),
    "zeotap": ("*ID extension* of single updates",),
}


def examples(page):
    """Return the example of each row of the table of a page, by its first cell."""
    text = (PAGES / f"{page}.md").read_text()
    rows = [[cell.strip() for cell in row.strip("|\n").split(" | ")] for row in re.findall(r"^\|.*\|$", text, re.M)]
    return {row[0]: row[-1].strip("`") for row in rows[2:] if "`" in row[-1]}


@pytest.mark.parametrize("page", CASES)
def test_every_example_of_a_page_has_a_case(page):
    assert list(examples(page)) == list(CASES[page])


def test_every_page_is_covered():
    assert {page.stem for page in PAGES.glob("*.md")} - {"index"} == set(CASES)


@pytest.fixture
def sandbox():
    with Sandbox(
        **CREDENTIAL,
        token=TOKEN,
        processing_seconds=0,
        datastream_id="ds1",
        ims_org_id="ORG@AdobeOrg",
        third_party_namespace="CRM",
        property_tokens=("08b62abd",),
        integration_codes=("crm_data",),
    ) as sandbox:
        sandbox.put_profile("U1", SEEN)
        sandbox.put_profile(BROWSER[0], SEEN, BROWSER[1])
        yield sandbox


@pytest.fixture(autouse=True)
def warehouse(tmp_path, monkeypatch):
    """Create the tables and files that the examples read."""
    with closing(sqlite3.connect(tmp_path / "warehouse.db")) as warehouse, warehouse:
        for table, rows in TABLES.items():
            warehouse.execute(f"CREATE TABLE {table}")
            marks = ", ".join("?" * len(rows[0]))
            warehouse.executemany(f"INSERT INTO {table.split()[0]} VALUES ({marks})", rows)
    for name, text in CSV.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "exports").mkdir()
    connection = {"conn_type": "sqlite", "host": str(tmp_path / "warehouse.db")}
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(connection))


def connect(sandbox, monkeypatch, *, login="acme", password=True, is_anonymous=False, **extra):
    """Save the connection, with the credential of the sandbox if it has no password."""
    urls = {"ims_host": sandbox.url, "admin_host": sandbox.url}
    urls["edge_host"] = sandbox.edge_url if is_anonymous else sandbox.url
    fields = {"conn_type": "adobe_target", "login": login, "host": sandbox.url, "extra": {**urls, **extra}}
    fields |= {"password": TOKEN} if password else {}
    fields["extra"] |= {} if password else {**CREDENTIAL, "tenant_id": "acmeinc"}
    monkeypatch.setenv("AIRFLOW_CONN_ADOBE_TARGET_DEFAULT", json.dumps(fields))


def complete(example, case, folder):
    """Return the class and the arguments of the operator of an example."""
    call = ast.parse(example if "(task_id=" in example else f"arguments({example})", mode="eval").body
    arguments = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
    kind = getattr(adobe_target, call.func.id) if "task_id" in arguments else case.base
    if "task_id" not in arguments:
        arguments = {"task_id": "preset", **case.arguments, **arguments}
    for name, value in arguments.items():
        if isinstance(value, str):
            arguments[name] = re.sub("^(s3://|/data/)", f"{folder}/", value)
    return kind, arguments


def conn_extra(page):
    """Return the fields of all ``--conn-extra`` of a page."""
    fields = {}
    for example in examples(page).values():
        if example.startswith("--conn-extra"):
            fields |= json.loads(example.removeprefix("--conn-extra ").strip("'"))
    return fields


def execute(operator, params):
    """Execute a task with its templates rendered, and wait in a trigger where it is deferred."""
    ti = SimpleNamespace(dag_id="d", task_id="t", run_id="r", map_index=-1, xcom_push=lambda **pushed: None)
    context = {"ti": ti, "run_id": "r", "task": operator, "dag": operator.dag, "params": dict(params)}
    operator.render_template_fields(context)
    try:
        return operator.execute(context)
    except TaskDeferred as deferred:
        event = asyncio.run(first_event(deferred.trigger))
        return getattr(operator, deferred.method_name)(context, event)


async def first_event(trigger):
    async for event in trigger.run():
        return event.payload


@pytest.mark.parametrize(
    ("page", "name"), [pytest.param(page, name, id=f"{page}: {name}") for page in CASES for name in CASES[page]]
)
def test_an_example_writes_what_the_page_says(page, name, sandbox, tmp_path, monkeypatch):
    case, example = CASES[page][name], examples(page)[name]
    is_anonymous = "authenticated=False" in example
    connect(sandbox, monkeypatch, password=case.password, is_anonymous=is_anonymous, **conn_extra(page))
    if name in KNOWN.get(page, ()):
        sandbox.put_profile("U2", SEEN)
    sandbox.script("fetch", *[MISSING] * case.absent)
    kind, arguments = complete("" if example.startswith("--conn-extra") else example, case, tmp_path)
    if case.absent or issubclass(kind, BulkProfileUpdateOperator):
        arguments["poll_interval"] = 0.05
    with DAG("presets", schedule=arguments.pop("schedule", None), start_date=datetime(2026, 1, 1)):
        operator = kind(**arguments)
    report = execute(operator, case.params)
    assert holds(sandbox, case.holds) == case.holds
    assert case.check(Run(sandbox, operator, report, tmp_path)) is not False


def holds(sandbox, profiles):
    """Return the attributes that the sandbox has for the same ids."""
    return {id_: sandbox.profile(*(id_ if isinstance(id_, tuple) else (id_,))) for id_ in profiles}


# The settings of a Treasure Data export, as JSON and as YAML


BLOCKS = re.findall(r"```python\n(.*?)```", (PAGES / "treasure-data.md").read_text(), re.S)
ROWS = {"U1": {**SEEN, "tier": "gold", "score": "5"}, "U2": None}


@pytest.mark.parametrize("block", BLOCKS, ids=["JSON", "YAML"])
def test_pasted_settings_upload_the_rows_of_their_query(block, sandbox, tmp_path, monkeypatch, caplog):
    sandbox.settings.client_code = "xxx"  # that of the settings
    connect(sandbox, monkeypatch, login="xxx")
    exec(block, namespace := {})  # noqa: S102
    operator = namespace["upload"]
    operator.poll_interval = 0.05
    with DAG("presets", schedule=None, start_date=datetime(2026, 1, 1)) as dag:
        dag.add_task(operator)
    report = execute(operator, {})
    assert holds(sandbox, ROWS) == ROWS  # v1 creates no profile
    assert (report["rows_sent"], report["batches"][0]["profiles_not_found"]) == (2, 1)
    assert is_version("v1")(Run(sandbox, operator, report, tmp_path)) is not False
    assert {call.headers["authorization"] for call in sandbox.calls} == {f"Bearer {TOKEN}"}  # not the pasted one
    assert "profile_api_token is not used" in caplog.text


@pytest.mark.parametrize("block", BLOCKS, ids=["JSON", "YAML"])
def test_pasted_settings_of_another_account_send_nothing(block, sandbox, monkeypatch):
    connect(sandbox, monkeypatch)
    exec(block, namespace := {})  # noqa: S102
    with DAG("presets", schedule=None, start_date=datetime(2026, 1, 1)) as dag:
        dag.add_task(namespace["upload"])
    with pytest.raises(AirflowFailException, match="'xxx', and the connection's login is 'acme'"):
        execute(namespace["upload"], {})
    assert sandbox.calls == []
