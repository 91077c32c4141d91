"""Declaration of the connection's fields.

Airflow 3.2 and later build the connection form from the provider's metadata. Airflow 2.11 to 3.1 use the hook class.
Both are generated from the declarations in this module. Do not import Airflow here, because provider discovery runs
before Airflow is initialized.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

CONNECTION_TYPE = "adobe_target"
HOOK_NAME = "Adobe Target"


@dataclass(frozen=True)
class StandardField:
    """A standard field of Airflow connections, as shown for this connection type.

    :param name: Airflow's name of the field.
    :param label: Label in the form. Empty keeps Airflow's label.
    :param placeholder: Placeholder text of the empty field.
    :param hidden: Whether the form hides the field.
    """

    name: str
    label: str = ""
    placeholder: str = ""
    hidden: bool = False


@dataclass(frozen=True)
class ExtraField:
    """A field that is stored in the connection's ``extra`` JSON.

    No field has a default value that the form would save. Null and empty text mean that the field is not set. The
    description and the placeholder show the default.

    :param name: Key in ``extra``.
    :param label: Label in the form.
    :param description: Help text below the field.
    :param placeholder: Placeholder text of the empty field (shown by Airflow 2.11).
    :param json_type: JSON type of the value. Null is always allowed.
    :param choices: Allowed values, if the form shows a list.
    :param minimum: Smallest allowed integer.
    :param maximum: Largest allowed integer.
    :param secret: Whether the form masks the value.
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
    StandardField("password", "Profile API token", placeholder="empty if the Profile API requires no authentication"),
    StandardField("host", "Base URL (other than Adobe's)", placeholder="empty for https://<client code>.tt.omtrdc.net"),
    StandardField("port", placeholder="if the base URL has no port"),
    StandardField("schema", hidden=True),
)

EXTRA_FIELDS = (
    ExtraField(
        "uses_ecid",
        "Site uses ECID",
        "Whether the site identifies visitors by Experience Cloud ID. If 'true', pcId is refused with version 2 of "
        "the bulk API. Default: true.",
        placeholder="true",
        # Text, because the check box of Airflow 2.11 loses a stored false each time the form is opened.
        choices=("true", "false"),
    ),
    ExtraField(
        "calls_per_minute",
        "Calls per minute",
        "The share of Target's 50 calls per minute that all tasks of one machine use together, polls included. "
        "Default: 30.",
        placeholder="30",
        json_type="integer",
        minimum=1,
        maximum=50,
    ),
    ExtraField(
        "allowed_status_hosts",
        "Allowed status hosts",
        "Comma-separated host names that a status URL may have, besides *.tt.omtrdc.net and the host of the base URL.",
        placeholder="target.example.com, edge.example.com",
    ),
    ExtraField(
        "timeout",
        "Timeout",
        "Connect timeout and read timeout in seconds, or one number for both. Default: 10, 300.",
        placeholder="10, 300",
    ),
    ExtraField(
        "verify",
        "Verify certificates",
        "'true', 'false', or the path of a certificate file. Default: true.",
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
        "The tenant in the URLs of the Admin API. It is not the client code.",
        placeholder="acmeinc",
    ),
    ExtraField("client_id", "OAuth client ID", "The client ID of an Adobe OAuth server-to-server credential."),
    ExtraField("client_secret", "OAuth client secret", "The client secret of the same credential.", secret=True),
    ExtraField(
        "ims_scope",
        "OAuth scopes",
        "Comma-separated scopes to request, as listed on the credential's page in Adobe Developer Console.",
    ),
    ExtraField(
        "ims_host",
        "IMS host",
        "The host that issues access tokens. Default: ims-na1.adobelogin.com.",
        placeholder="ims-na1.adobelogin.com",
    ),
    ExtraField(
        "admin_host",
        "Admin API host",
        "The host of the Admin API. Default: mc.adobe.io.",
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
    ExtraField(
        "sync_log",
        "Sync log",
        "Where task runs are recorded: the ID of an Airflow connection to a database, or a folder (with a slash), "
        "local or in object storage. Default: task runs are not recorded.",
        placeholder="warehouse",
    ),
    ExtraField(
        "sync_log_keep_days",
        "Days in the sync log",
        "Age in days from which records of the sync log are deleted. Default: they are kept.",
        placeholder="400",
        json_type="integer",
        minimum=1,
        maximum=36_500,
    ),
    ExtraField(
        "rate_limit_conn_id",
        "Shared rate limit",
        "The id of a Redis connection that all machines use for one rate limit. Calls per minute are then those of all "
        "machines together. Default: each machine has a limit of its own.",
        placeholder="redis_default",
    ),
    ExtraField(
        "block_attributes",
        "Blocked attributes",
        "Names or patterns of attributes that no task may send, comma-separated. 'default' stands for names of e-mail "
        "addresses, phone and card numbers. Default: none.",
        placeholder="default, birth*",
    ),
    ExtraField("hash_salt", "Salt of hashed attributes", "Key of the digests of hash_attributes.", secret=True),
)


def conn_fields() -> dict[str, dict[str, Any]]:
    """Return the extra fields as ``conn-fields`` of the provider's metadata (Airflow 3.2 and later)."""
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
    # "null" allows the form to leave the field empty.
    return {"type": [field.json_type, "null"]} | {name: value for name, value in optional.items() if value is not None}


def ui_field_behaviour() -> dict[str, Any]:
    """Return the standard fields in the format of a hook's ``get_ui_field_behaviour`` (Airflow 2.11 to 3.1)."""
    return {
        "hidden_fields": [field.name for field in STANDARD_FIELDS if field.hidden],
        "relabeling": {field.name: field.label for field in STANDARD_FIELDS if field.label},
        "placeholders": {
            field.name: field.placeholder for field in (*STANDARD_FIELDS, *EXTRA_FIELDS) if field.placeholder
        },
    }


def ui_field_behaviour_metadata() -> dict[str, Any]:
    """Return the standard fields in the format of the metadata's ``ui-field-behaviour`` (Airflow 3.2 and later)."""
    return {name.replace("_", "-"): value for name, value in ui_field_behaviour().items()}


def widgets() -> dict[str, Any]:
    """Return the widgets of the extra fields for a hook's ``get_connection_form_widgets`` (Airflow 2.11 to 3.1).

    :raises ImportError: If the FAB provider, which contains the form, is not installed.
    """
    from flask_appbuilder.fieldwidgets import BS3PasswordFieldWidget, BS3TextFieldWidget
    from flask_babel import lazy_gettext
    from wtforms import IntegerField, PasswordField, StringField
    from wtforms.validators import NumberRange, Optional, any_of

    class SecretWidget(BS3PasswordFieldWidget):  # type: ignore[misc]  # the library has no types
        def __call__(self, field: Any, **html: Any) -> Any:
            # An empty field would delete the stored secret on saving. Airflow 2.11 keeps it for this placeholder.
            shown = "RATHER_LONG_SENSITIVE_FIELD_PLACEHOLDER" if field.data else ""
            return super().__call__(field, value=shown, **html)

    secret_widget = SecretWidget()
    secret_widget.hide_value = False  # the field shows the placeholder, never the secret

    def widget(field: ExtraField) -> Any:
        # All connection types share one form. Without Optional, an empty field would fail the others' validation.
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
