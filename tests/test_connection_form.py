from __future__ import annotations

import pytest

from airflow_provider_adobe_target import connection_form

EXTRA_NAMES = {
    "uses_ecid",
    "calls_per_minute",
    "allowed_status_hosts",
    "timeout",
    "verify",
    "proxies",
    "tenant_id",
    "client_id",
    "client_secret",
    "ims_scope",
    "ims_host",
    "admin_host",
    "datastream_id",
    "ims_org_id",
    "edge_host",
    "property_token",
    "update_path_segment",
    "sync_log",
    "sync_log_keep_days",
    "rate_limit_conn_id",
    "block_attributes",
    "hash_salt",
}


def test_every_extra_of_the_connection_has_a_field():
    assert set(connection_form.conn_fields()) == EXTRA_NAMES


def test_every_extra_may_stay_empty_and_saves_no_default():
    for field in connection_form.conn_fields().values():
        assert "null" in field["schema"]["type"]
        assert "default" not in field["schema"]


def test_every_extra_has_a_label_of_its_own_and_help():
    fields = connection_form.conn_fields().values()
    assert len({field["label"] for field in fields}) == len(EXTRA_NAMES)
    assert all(field["description"].endswith(".") for field in fields)


def test_only_the_secret_is_hidden_while_typed():
    hidden = {
        name for name, field in connection_form.conn_fields().items() if field["schema"].get("format") == "password"
    }
    assert hidden == {"client_secret", "hash_salt"}


def test_calls_per_minute_are_held_to_what_target_allows():
    schema = connection_form.conn_fields()["calls_per_minute"]["schema"]
    assert schema == {"type": ["integer", "null"], "minimum": 1, "maximum": 50}


def test_whether_the_site_uses_ecid_is_a_choice_of_two():
    assert connection_form.conn_fields()["uses_ecid"]["schema"]["enum"] == ["true", "false"]


def test_standard_fields_carry_the_words_of_adobe_target():
    behaviour = connection_form.ui_field_behaviour()
    assert behaviour["relabeling"] == {
        "login": "Client code",
        "password": "Profile API token",
        "host": "Base URL (other than Adobe's)",
    }
    assert behaviour["hidden_fields"] == ["schema"]


def test_metadata_and_hook_describe_the_standard_fields_equally():
    behaviour = connection_form.ui_field_behaviour()
    metadata = connection_form.ui_field_behaviour_metadata()
    assert metadata == {
        "hidden-fields": behaviour["hidden_fields"],
        "relabeling": behaviour["relabeling"],
        "placeholders": behaviour["placeholders"],
    }


def test_placeholders_belong_to_fields_that_exist():
    known = EXTRA_NAMES | {"login", "password", "host", "port"}
    assert set(connection_form.ui_field_behaviour()["placeholders"]) <= known


def test_each_caller_gets_its_own_fields():
    connection_form.conn_fields()["timeout"]["schema"]["type"].clear()
    connection_form.ui_field_behaviour()["relabeling"].clear()
    assert connection_form.conn_fields()["timeout"]["schema"]["type"] == ["string", "null"]
    assert connection_form.ui_field_behaviour()["relabeling"]


class TestWidgets:
    """The same fields in the form of Airflow 2.11, where its form library is installed."""

    @pytest.fixture
    def form(self):
        wtforms = pytest.importorskip("wtforms")
        pytest.importorskip("flask_appbuilder")
        return type("ConnectionForm", (wtforms.Form,), connection_form.widgets())

    def test_every_extra_has_its_widget_under_the_same_label(self, form):
        labels = {field.name: field.label.text for field in form()}
        assert labels == {name: field["label"] for name, field in connection_form.conn_fields().items()}

    def test_types_and_secrets_agree_with_the_metadata(self, form):
        expected = {
            name: {("integer", None): "IntegerField", ("string", "password"): "PasswordField"}.get(
                (field["schema"]["type"][0], field["schema"].get("format")), "StringField"
            )
            for name, field in connection_form.conn_fields().items()
        }
        assert {field.name: type(field).__name__ for field in form()} == expected

    def test_an_empty_form_is_valid(self, form):
        from werkzeug.datastructures import MultiDict

        assert form(MultiDict(dict.fromkeys(EXTRA_NAMES, ""))).validate()

    @pytest.mark.parametrize(
        ("name", "value"), [("calls_per_minute", "51"), ("calls_per_minute", "0"), ("uses_ecid", "perhaps")]
    )
    def test_a_value_out_of_bounds_is_refused(self, form, name, value):
        from werkzeug.datastructures import MultiDict

        filled = form(MultiDict({name: value}))
        assert not filled.validate()
        assert set(filled.errors) == {name}

    def test_opening_the_form_neither_shows_nor_loses_a_secret(self, form):
        # Airflow 2.11 takes an empty field for 'delete', and this word for 'as it was'.
        shown = str(form(data={"client_secret": "s3cr3t-value"}).client_secret())
        assert 'value="RATHER_LONG_SENSITIVE_FIELD_PLACEHOLDER"' in shown
        assert "s3cr3t-value" not in shown
        assert 'value=""' in str(form().client_secret())
