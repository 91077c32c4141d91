"""Settings of the sandbox: name, default and meaning, and the command-line options generated from them."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

SECRETS = ("token", "client_secret")
COUNTERS = ("batchSize", "consumedCount", "successfulUpdates", "profilesNotFound", "failedUpdates")


def _setting(default: Any, meaning: str) -> Any:
    return field(default=default, metadata={"meaning": meaning})


@dataclass(kw_only=True)
class SandboxSettings:
    """Behaviour of the sandbox where Adobe's documentation is unclear, and faults to simulate.

    Every field may be changed while the sandbox runs. ``decode_order``, ``processing_seconds`` and the status
    words apply to batches that are submitted later. Unknown names and values outside a field's choices are
    refused.
    """

    client_code: str = _setting("acme", "the client code that paths and ?client= must name")
    token: str | None = _setting(
        None, "the profile token that bulk update, single update and fetch require; none: no token"
    )
    require_token: bool = _setting(True, "whether the token is required, if there is one")
    missing_token_status: Literal[403, 401, 200] = _setting(
        403, "HTTP status for a missing or wrong token; 200 comes with success=false"
    )
    token_seconds: int = _setting(
        7_775_999, "lifetime in seconds of a profile token, from when it was generated or set"
    )
    expires_in: Literal["remaining", "original"] = _setting(
        "remaining", "which lifetime of a token the Admin API returns: the remaining or the original one"
    )
    no_token_status: Literal[404, 200] = _setting(
        404, "HTTP status of the Admin API if there is no token; 200 comes with an empty accessToken"
    )
    rotation_invalidates: bool = _setting(True, "whether a new profile token invalidates the previous one")
    token_scope_parameter: Literal["authorizationScope", "scope"] = _setting(
        "authorizationScope", "the query parameter that names the scope of a token"
    )

    tenant_id: str = _setting("acmeinc", "the tenant that paths of the Admin API must name")
    client_id: str | None = _setting(None, "the OAuth client id that IMS accepts; none: any")
    client_secret: str | None = _setting(None, "the OAuth client secret that IMS accepts; none: any")
    ims_token_seconds: int = _setting(86_399, "lifetime in seconds of an IMS access token")
    ims_tokens_per_minute: int | None = _setting(
        None, "token requests in any 60 seconds above which IMS answers 429; none: no limit"
    )
    ims_refuse_status: Literal[400, 401] = _setting(400, "HTTP status for a wrong client id or secret")

    calls_per_minute: int | None = _setting(
        50,
        "submits, polls and Admin calls, refused ones included, in any 60 seconds above which the answer is 503; none:"
        " no limit",
    )
    retry_after: int | None = _setting(None, "seconds in the Retry-After header of that 503; none: no header")
    reject_content_type: bool = _setting(False, "refuse submits that are not application/x-www-form-urlencoded")
    max_body_bytes: int = _setting(50_000_000, "size in bytes that a submitted body must stay below")
    max_rows: int = _setting(500_000, "maximum number of rows of a file, without the header")
    too_large_status: Literal[413, 200] = _setting(413, "HTTP status for a body that is too large")
    refuse_status: Literal[200, 400] = _setting(200, "HTTP status of an answer with success=false")
    answer_format: Literal["xml", "json"] = _setting("xml", "format of bulk and single update answers")
    noise: bool = _setting(
        False,
        "unusual answers: whitespace, shuffled elements, &amp; in the status URL, another batch id prefix",
    )
    edge_base: str | None = _setting(
        None, "base of status URLs and edgeHost; none: the host name of the request with the edge port"
    )
    status_on_client_host: bool = _setting(
        False, "whether the client host answers batch status requests, or only the edge port and edge_base do"
    )
    cluster: str = _setting("00", "the edge cluster in the suffix of Target ids, as in 1.00_0; Adobe has no cluster 00")

    decode_order: Literal["split-then-decode", "decode-then-split"] = _setting(
        "decode-then-split", "whether a file is split at commas and lines before or after percent-decoding"
    )
    override: Literal["replace", "merge"] = _setting(
        "replace", "what a second v2 row does to the values of the first one if there was no visit between them"
    )
    processing_seconds: float = _setting(2.0, "seconds from submit until the rows are applied and the status is final")
    processing_status: str = _setting("incomplete", "the status until then")
    final_status: str = _setting("complete", "the final status; 'stuck' applies only the first half of the rows")
    status_kept_seconds: float = _setting(86_400.0, "seconds from submit after which a batch status is deleted")
    lost_status: Literal["404", "refusal", "no-status"] = _setting(
        "404", "answer for an unknown or deleted batch: HTTP 404, success=false, or a body without a status"
    )
    zero_counters: tuple[str, ...] = _setting(
        (), f"counters that are always 0 in status answers, of {', '.join(COUNTERS)}"
    )
    omit_counters: tuple[str, ...] = _setting((), f"counters to omit from status answers, of {', '.join(COUNTERS)}")
    batch_size_offset: int = _setting(0, "number to add to batchSize in status answers, as if rows were split or lost")
    list_failed_rows: bool = _setting(
        True, "whether status answers list failed rows as <profile> elements, with and without showDetails"
    )
    failed_row_word: str = _setting("failed", "the status in such an element")
    fail_ids: tuple[str, ...] = _setting((), "ids whose rows fail")
    loss_rate: float = _setting(0.0, "fraction of rows, 0 to 1, that count as successful but are not stored")
    seed: int = _setting(0, "seed of the random numbers for loss_rate and noise")
    keep_profiles: bool = _setting(
        True, "whether to store bodies and profiles; off: only count rows and cells, for uploads of any size"
    )
    visible_after_seconds: float = _setting(0.0, "seconds from the write of a value until profile fetch returns it")
    max_profile_bytes: int = _setting(65_536, "maximum size in bytes of the names and values of a profile")

    lifetime_days: float = _setting(14.0, "days without activity after which a profile expires")
    batch_resets_idle_clock: bool = _setting(False, "whether a batch or a single update counts as activity")
    single_get_bytes: int = _setting(8_192, "maximum size in bytes of a GET single update: path and query")
    single_post_bytes: int = _setting(61_440, "maximum size in bytes of a POST single update: path, query and body")

    property_tokens: tuple[str, ...] = _setting((), "property tokens that Delivery accepts; empty: any")
    integration_codes: tuple[str, ...] = _setting((), "data sources of customerIds that Delivery accepts; empty: any")
    link_without_mbox: bool = _setting(
        False, "whether Delivery stores ids and values of a request without execute, prefetch and notifications"
    )
    accept_ims_org: bool = _setting(
        True, "whether Delivery accepts imsOrgId, as sent by Adobe's SDKs, instead of client"
    )
    ims_org_id: str | None = _setting(
        None, "the IMS organization that such calls and Edge Network calls must name; none: any"
    )
    delivery_value_length: int = _setting(
        256, "maximum length in characters of a profile parameter's value in Delivery and the Edge Network"
    )
    session_concurrency: int = _setting(100, "concurrent Delivery calls of one session above which the answer is 420")

    datastream_id: str | None = _setting(None, "the datastream that Edge Network calls must name; none: any")
    datastream_enabled: bool = _setting(True, "whether the datastream is enabled")
    third_party_namespace: str | None = _setting(
        None, "the identity namespace that the datastream passes to Target as thirdPartyId; none: no namespace"
    )
    identity_namespaces: tuple[str, ...] = _setting(
        ("Email", "Email_LC_SHA256", "Phone", "FPID"), "namespaces of identityMap that are known in addition to ECID"
    )
    edge_authentication: Literal["by-port", "always", "never"] = _setting(
        "by-port",
        "which Edge Network calls require an IMS token: those on the client host's port, as on server.adobedc.net, but"
        " not those on the edge port, as on edge.adobedc.net; all of them; or none",
    )
    edge_refusal: Literal["none", "product-context", "scope", "sandbox"] = _setting(
        "none", "what the OAuth credential lacks for calls of the Edge Network"
    )
    ecid_digits: int | None = _setting(
        None, "number of digits of an ECID in the Edge Network; Adobe's ECIDs have 38; none: up to 38"
    )
    edge_needs_primary: bool = _setting(True, "whether an event without a primary identity is refused")
    edge_writes: Literal["with-query", "interact", "interact-and-collect"] = _setting(
        "with-query", "which Edge Network calls write profile attributes: interact with a query, any interact, or all"
    )
    target_data: Literal["nested", "flat", "both"] = _setting(
        "nested", "where the data of an event contains attributes: __adobe: {target: …}, or '__adobe.target': …"
    )
    edge_consent: bool = _setting(
        True, "whether events have user consent; off: they are dropped with a warning and HTTP 200"
    )
    edge_target_fails: bool = _setting(False, "whether Target fails behind the Edge Network, which then answers 207")
    interact_units_per_second: int | None = _setting(
        4_000,
        "request units of 8 KB per second above which interact answers 429; none: no limit",
    )
    collect_units_per_second: int | None = _setting(6_000, "the same for collect")

    def __setattr__(self, name: str, value: Any) -> None:
        """Set a field.

        None for a setting with several values means no value, and text means one value.

        :raises AttributeError: If the setting does not exist.
        :raises ValueError: If the value is not one of the choices, or a required value is None.
        """
        if name not in self.__dataclass_fields__:
            raise AttributeError(f"The sandbox has no setting {name!r}.")
        choices = _choices(name)
        if choices and value not in choices:
            raise ValueError(f"The sandbox setting {name} must be one of {choices}, not {value!r}.")
        if get_origin(_TYPES[name]) is tuple:
            value = () if value is None else (value,) if isinstance(value, str) else tuple(value)
        elif value is None and type(None) not in get_args(_TYPES[name]):
            raise ValueError(f"The sandbox setting {name} must have a value, not None.")
        object.__setattr__(self, name, value)

    def public(self) -> dict[str, Any]:
        """Return all settings by name, with 'set' or 'none' instead of secrets."""
        values = {setting.name: getattr(self, setting.name) for setting in fields(self)}
        return {**values, **{name: "none" if values[name] is None else "set" for name in SECRETS}}


_TYPES = get_type_hints(SandboxSettings)


def _choices(name: str) -> tuple[Any, ...]:
    return get_args(_TYPES[name]) if get_origin(_TYPES[name]) is Literal else ()


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add one option per setting to a parser, with the setting's meaning as its help and its default."""
    for setting in fields(SandboxSettings):
        option = "--" + setting.name.replace("_", "-")
        about: dict[str, Any] = {
            "help": setting.metadata["meaning"].replace("%", "%%"),
            "default": setting.default,
        }
        kind = _TYPES[setting.name]
        if kind is bool:
            parser.add_argument(option, action=argparse.BooleanOptionalAction, **about)
        elif choices := _choices(setting.name):
            parser.add_argument(option, type=type(choices[0]), choices=choices, **about)
        elif get_origin(kind) is tuple:
            parser.add_argument(option, nargs="+", metavar="TEXT", **about)
        else:
            parser.add_argument(option, type=_reader(kind), metavar="VALUE", **about)


def from_options(options: argparse.Namespace) -> dict[str, Any]:
    """Return the settings from the options of :func:`add_options`, by name."""
    chosen = {setting.name: getattr(options, setting.name) for setting in fields(SandboxSettings)}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in chosen.items()}


def _reader(kind: Any) -> Any:
    """Return a function that converts an option's text to a value, and 'none' to None if the type allows it."""
    inner = next((choice for choice in get_args(kind) if choice is not type(None)), kind)

    def read(text: str) -> Any:
        return None if text == "none" and type(None) in get_args(kind) else inner(text)

    read.__name__ = inner.__name__  # argparse uses it in "invalid int value"
    return read
