"""The connection's fields, declared once.

Airflow 3.2 and later draw the connection form from the provider's metadata, 3.3 from nothing else; 2.11 to
3.1 ask the hook class. Both get their answer here. Nothing of Airflow is imported, for discovery runs before
Airflow is ready.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

CONNECTION_TYPE = "adobe_target"
HOOK_NAME = "Adobe Target"


@dataclass(frozen=True)
class StandardField:
    """One of the fields that every Airflow connection has, as it looks for this type of connection.

    :param name: Airflow's name of the field.
    :param label: what the form calls it; empty leaves Airflow's word.
    :param placeholder: the grey text in the empty field.
    :param hidden: whether the form leaves the field out.
    """

    name: str
    label: str = ""
    placeholder: str = ""
    hidden: bool = False


@dataclass(frozen=True)
class ExtraField:
    """A field that is kept in the connection's ``extra`` JSON under its own name.

    No field has a default that the form would save: null and empty text mean absent, and what absent means is
    told to the reader in the description and the placeholder.

    :param name: the key in ``extra``.
    :param label: what the form calls it.
    :param description: the help text below it.
    :param placeholder: the grey text in the empty field (Airflow 2.11 shows it).
    :param json_type: the JSON type of the value beside null.
    :param choices: the only values there are, if the form is to offer a list.
    :param minimum: the smallest number allowed, for whole numbers.
    :param maximum: the largest number allowed, for whole numbers.
    :param secret: whether the form hides what is typed.
    """

    name: str
    label: str
    description: str
    placeholder: str = ""
    json_type: Literal["string", "integer"] = "string"
    choices: tuple[str, ...] = ()
    minimum: int | None = None
    maximum: int | None = None
    secret: bool = False


STANDARD_FIELDS = (
    StandardField("login", "Client code", placeholder="acme"),
    StandardField(
        "password", "Profile API token", placeholder="empty where the Profile API asks for no authentication"
    ),
    StandardField("host", "Base URL (other than Adobe's)", placeholder="empty for https://<client code>.tt.omtrdc.net"),
    StandardField("port", placeholder="where the base URL has none"),
    StandardField("schema", hidden=True),
)

EXTRA_FIELDS = (
    ExtraField(
        "uses_ecid",
        "Site uses ECID",
        "Whether the site identifies visitors by Experience Cloud ID: 'true' refuses pcId with version 2 of "
        "the bulk API. Default: true.",
        placeholder="true",
        # Words, for the check box of Airflow 2.11 forgets a stored false each time the form is opened.
        choices=("true", "false"),
    ),
    ExtraField(
        "calls_per_minute",
        "Calls a minute",
        "The share of Target's 50 calls a minute that the tasks of one machine may use together, polls included. "
        "Default: 30.",
        placeholder="30",
        json_type="integer",
        minimum=1,
        maximum=50,
    ),
    ExtraField(
        "allowed_status_hosts",
        "Allowed status hosts",
        "Host names, comma-separated, that a status URL may name beside *.tt.omtrdc.net and the base URL's.",
        placeholder="target.example.com, edge.example.com",
    ),
    ExtraField(
        "timeout",
        "Timeout",
        "Seconds to connect and to read, or one number for both. Default: 10, 300.",
        placeholder="10, 300",
    ),
    ExtraField(
        "verify",
        "Verify certificates",
        "'true', 'false', or the path of a file with certificates. Default: true.",
        placeholder="true",
    ),
    ExtraField(
        "proxies",
        "Proxies",
        'A JSON object from scheme to proxy URL: {"https": "http://proxy.example.com:3128"}.',
        placeholder='{"https": "http://proxy.example.com:3128"}',
    ),
    ExtraField(
        "tenant_id",
        "Tenant",
        "The tenant in the Admin API's URLs; not the client code.",
        placeholder="acmeinc",
    ),
    ExtraField("client_id", "OAuth client ID", "Of an OAuth server-to-server credential of Adobe's."),
    ExtraField("client_secret", "OAuth client secret", "Of the same credential.", secret=True),
    ExtraField(
        "ims_scope",
        "OAuth scopes",
        "Scopes to ask for, comma-separated, as the credential's page in Adobe Developer Console lists them.",
    ),
    ExtraField(
        "ims_host",
        "IMS host",
        "Another place that issues access tokens. Default: ims-na1.adobelogin.com.",
        placeholder="ims-na1.adobelogin.com",
    ),
    ExtraField(
        "admin_host",
        "Admin API host",
        "Another place that answers for the Admin API. Default: mc.adobe.io.",
        placeholder="mc.adobe.io",
    ),
    ExtraField("datastream_id", "Datastream", "Experience Platform Edge Network: the datastream's ID."),
    ExtraField(
        "ims_org_id",
        "Organization",
        "Experience Platform Edge Network: the organization's ID.",
        placeholder="0123456789ABCDEF01234567@AdobeOrg",
    ),
    ExtraField("edge_host", "Edge Network host", "Experience Platform Edge Network: the host to call."),
    ExtraField("property_token", "Property token", "The token of the Target property (at_property)."),
    ExtraField(
        "update_path_segment",
        "Path of single updates",
        "The path segment after /m2/ of a single update: 'client_code' for the client code, or the word 'client'. "
        "Default: client_code.",
        placeholder="client_code",
        choices=("client_code", "client"),
    ),
)


def conn_fields() -> dict[str, dict[str, Any]]:
    """Describe the extra fields as ``conn-fields`` of the provider's metadata (Airflow 3.2 and later)."""
    return {
        field.name: {"label": field.label, "description": field.description, "schema": _json_schema(field)}
        for field in EXTRA_FIELDS
    }


def _json_schema(field: ExtraField) -> dict[str, Any]:
    optional = {
        "format": "password" if field.secret else None,
        "enum": list(field.choices) or None,
        "minimum": field.minimum,
        "maximum": field.maximum,
    }
    # "null" is how the form is told that the field may stay empty.
    return {"type": [field.json_type, "null"]} | {name: value for name, value in optional.items() if value is not None}


def ui_field_behaviour() -> dict[str, Any]:
    """Describe the standard fields' looks as a hook's ``get_ui_field_behaviour`` does (Airflow 2.11, 3.1)."""
    return {
        "hidden_fields": [field.name for field in STANDARD_FIELDS if field.hidden],
        "relabeling": {field.name: field.label for field in STANDARD_FIELDS if field.label},
        "placeholders": {
            field.name: field.placeholder for field in (*STANDARD_FIELDS, *EXTRA_FIELDS) if field.placeholder
        },
    }


def ui_field_behaviour_metadata() -> dict[str, Any]:
    """Describe the standard fields' looks as the metadata's ``ui-field-behaviour`` (Airflow 3.2, 3.3)."""
    return {name.replace("_", "-"): value for name, value in ui_field_behaviour().items()}


def widgets() -> dict[str, Any]:
    """Make the extra fields' widgets, as a hook's ``get_connection_form_widgets`` does (Airflow 2.11 to 3.1).

    :raises ImportError: where the form of Airflow 2 (the FAB provider) is not installed.
    """
    from flask_appbuilder.fieldwidgets import BS3PasswordFieldWidget, BS3TextFieldWidget
    from flask_babel import lazy_gettext
    from wtforms import IntegerField, PasswordField, StringField
    from wtforms.validators import NumberRange, Optional, any_of

    class SecretWidget(BS3PasswordFieldWidget):  # type: ignore[misc]  # the library has no types
        def __call__(self, field: Any, **html: Any) -> Any:
            # Shown empty, a stored secret would be deleted on saving; this word makes Airflow 2.11 keep it.
            shown = "RATHER_LONG_SENSITIVE_FIELD_PLACEHOLDER" if field.data else ""
            return super().__call__(field, value=shown, **html)

    secret_widget = SecretWidget()
    secret_widget.hide_value = False  # what is shown is that word, never the secret

    def widget(field: ExtraField) -> Any:
        # All types of connection share one form there: without Optional an empty field would hold up theirs.
        validators = [Optional()]
        if field.choices:
            validators.append(any_of(list(field.choices)))
        if field.json_type == "integer":
            validators.append(NumberRange(min=field.minimum, max=field.maximum))
        kinds = {"integer": IntegerField, "string": PasswordField if field.secret else StringField}
        return kinds[field.json_type](
            lazy_gettext(field.label),
            validators=validators,
            description=field.description,
            widget=secret_widget if field.secret else BS3TextFieldWidget(),
        )

    return {field.name: widget(field) for field in EXTRA_FIELDS}
