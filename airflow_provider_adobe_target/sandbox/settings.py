"""Every switch of the sandbox, once: its name, default and meaning, and the command line made of them."""

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
    """What the sandbox does where Adobe leaves a choice, and which faults it has.

    Every field may be changed while the sandbox runs. ``decode_order``, ``processing_seconds`` and the status
    words concern the batches submitted afterwards. A name that is no field is refused, and so is a value that
    is none of its field's choices.
    """

    client_code: str = _setting("acme", "the client code that paths and ?client= must name")
    token: str | None = _setting(None, "the profile token that bulk, single update and fetch demand; none: no token")
    require_token: bool = _setting(True, "whether the token is demanded, once there is one")
    missing_token_status: Literal[403, 401, 200] = _setting(
        403, "HTTP status for a missing or wrong token; 200 comes with success=false"
    )
    token_seconds: int = _setting(7_775_999, "seconds that a profile token lives, from when it was made or set")
    expires_in: Literal["remaining", "original"] = _setting(
        "remaining", "which life of a token the Admin API tells: what is left of it, or all of it"
    )
    no_token_status: Literal[404, 200] = _setting(
        404, "HTTP status of the Admin API where there is no token; 200 comes with an empty accessToken"
    )
    rotation_invalidates: bool = _setting(True, "whether the making of a profile token ends the life of the one before")
    token_scope_parameter: Literal["authorizationScope", "scope"] = _setting(
        "authorizationScope", "the query parameter that names the scope of a token"
    )

    tenant_id: str = _setting("acmeinc", "the tenant that paths of the Admin API must name")
    client_id: str | None = _setting(None, "the OAuth client id that IMS must be told; none: any")
    client_secret: str | None = _setting(None, "the OAuth client secret that IMS must be told; none: any")
    ims_token_seconds: int = _setting(86_399, "seconds that a token of IMS lives")
    ims_tokens_per_minute: int | None = _setting(
        None, "requests for tokens in any 60 seconds, beyond which IMS answers 429; none: no limit"
    )
    ims_refuse_status: Literal[400, 401] = _setting(400, "HTTP status for a wrong client id or secret")

    calls_per_minute: int | None = _setting(
        50,
        "submits, polls and Admin calls in any 60 seconds, refused ones too; beyond it 503; none: no limit",
    )
    retry_after: int | None = _setting(None, "seconds to name in Retry-After of that 503; none: no such header")
    reject_content_type: bool = _setting(False, "refuse submits that are not application/x-www-form-urlencoded")
    max_body_bytes: int = _setting(50_000_000, "a submitted body must be smaller than this")
    max_rows: int = _setting(500_000, "rows a file may have, the header not counted")
    too_large_status: Literal[413, 200] = _setting(413, "HTTP status for a body that is too large")
    refuse_status: Literal[200, 400] = _setting(200, "HTTP status of an answer with success=false")
    answer_format: Literal["xml", "json"] = _setting("xml", "form of bulk and single update answers")
    noise: bool = _setting(
        False,
        "awkward answers: blanks, any order, &amp; in the status URL, another batch id prefix",
    )
    edge_base: str | None = _setting(
        None, "what status URLs begin with and edgeHost names; none: the host name asked, at the edge port"
    )
    status_on_client_host: bool = _setting(
        False, "whether the client host answers batch status requests; else only the edge port does, and edge_base"
    )
    cluster: str = _setting(
        "00", "the edge cluster in Target ids that the sandbox completes, as in 1.00_0; 00 is none of Adobe's"
    )

    decode_order: Literal["split-then-decode", "decode-then-split"] = _setting(
        "decode-then-split", "whether a file is split at commas and lines before or after percent-decoding"
    )
    override: Literal["replace", "merge"] = _setting(
        "replace", "what a second v2 row does to what the first one wrote, where no visit came between them"
    )
    processing_seconds: float = _setting(2.0, "seconds from submit until the rows are applied and the status is final")
    processing_status: str = _setting("incomplete", "the status word until then")
    final_status: str = _setting(
        "complete", "the status word at the end; 'stuck' applies only the first half of the rows"
    )
    status_kept_seconds: float = _setting(86_400.0, "seconds from submit after which a batch status is forgotten")
    lost_status: Literal["404", "refusal", "no-status"] = _setting(
        "404", "answer for an unknown or forgotten batch: HTTP 404, success=false, or a body without a status"
    )
    zero_counters: tuple[str, ...] = _setting(
        (), f"counters that status answers give as 0 whatever happened, of {', '.join(COUNTERS)}"
    )
    omit_counters: tuple[str, ...] = _setting((), f"counters left out of status answers, of {', '.join(COUNTERS)}")
    batch_size_offset: int = _setting(0, "added to the batchSize that the status tells, as if rows were torn or lost")
    list_failed_rows: bool = _setting(True, "name failed rows as <profile> elements, with and without showDetails")
    failed_row_word: str = _setting("failed", "the status word of such an element")
    fail_ids: tuple[str, ...] = _setting((), "ids whose rows fail")
    loss_rate: float = _setting(0.0, "share of rows, 0 to 1, that count as successful but are not stored")
    seed: int = _setting(0, "seed of what happens by chance: loss and noise")
    keep_profiles: bool = _setting(True, "keep what was sent; off: only count rows and cells, for loads of any size")
    visible_after_seconds: float = _setting(0.0, "seconds from the writing of a value until fetch shows it")
    max_profile_bytes: int = _setting(65_536, "bytes of names and values that one profile may hold")

    lifetime_days: float = _setting(14.0, "idle days after which a profile is gone")
    batch_resets_idle_clock: bool = _setting(False, "whether a batch or a single update counts as activity")
    single_get_bytes: int = _setting(8_192, "size of a GET single update, path and query")
    single_post_bytes: int = _setting(61_440, "size of a POST single update: path, query and body")

    property_tokens: tuple[str, ...] = _setting((), "property tokens that Delivery knows; none named: any is accepted")
    integration_codes: tuple[str, ...] = _setting(
        (), "data sources of customerIds that Delivery knows; none named: all are"
    )
    link_without_mbox: bool = _setting(
        False, "whether Delivery stores what a request has that executes, prefetches and notifies nothing"
    )
    accept_ims_org: bool = _setting(True, "whether Delivery takes imsOrgId, as Adobe's SDKs send it, instead of client")
    ims_org_id: str | None = _setting(
        None, "the IMS organization that such calls, and the Edge Network's, must name; none: any"
    )
    delivery_value_length: int = _setting(
        256, "characters a profile parameter's value may have in Delivery and the Edge Network"
    )
    session_concurrency: int = _setting(100, "Delivery calls of one session at a time, beyond which the answer is 420")

    datastream_id: str | None = _setting(None, "the datastream that Edge Network calls must name; none: any")
    datastream_enabled: bool = _setting(True, "whether the datastream is enabled")
    third_party_namespace: str | None = _setting(
        None, "the identity namespace that the datastream hands to Target as thirdPartyId; none: no such"
    )
    identity_namespaces: tuple[str, ...] = _setting(
        ("Email", "Email_LC_SHA256", "Phone", "FPID"), "further namespaces of identityMap that are known, beside ECID"
    )
    edge_authentication: Literal["by-port", "always", "never"] = _setting(
        "by-port",
        "which Edge Network calls need an IMS token: those on the client host's port, as on server.adobedc.net, but not"
        " those on the edge port, as on edge.adobedc.net; all, as where the datastream takes no other; or none",
    )
    edge_refusal: Literal["none", "product-context", "scope", "sandbox"] = _setting(
        "none", "what the OAuth credential lacks for the Edge Network"
    )
    ecid_digits: int | None = _setting(
        None, "digits that an ECID must have in the Edge Network, 38 as Adobe's have; none: any number up to 38"
    )
    edge_needs_primary: bool = _setting(True, "whether an event without a primary identity is refused")
    edge_writes: Literal["with-query", "interact", "interact-and-collect"] = _setting(
        "with-query", "which Edge Network calls write profile attributes: interact with a query, any interact, or all"
    )
    target_data: Literal["nested", "flat", "both"] = _setting(
        "nested", "where in an event's data attributes are found: __adobe: {target: …}, or '__adobe.target': …"
    )
    edge_consent: bool = _setting(
        True, "whether events have consent; off: they are dropped with a warning and HTTP 200"
    )
    edge_target_fails: bool = _setting(False, "whether Target fails behind the Edge Network, which answers 207")
    interact_units_per_second: int | None = _setting(
        4_000,
        "request units, of 8 KB each, that interact takes in a second, beyond which it answers 429; none: no limit",
    )
    collect_units_per_second: int | None = _setting(6_000, "the same for collect")

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuse what would be ignored in silence or break a later call: a misspelled field or choice, a missing value.

        None for a setting that holds several values means no value, and a text means one.
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
        """Return all settings by name, with only 'set' or 'none' for what is secret."""
        values = {setting.name: getattr(self, setting.name) for setting in fields(self)}
        return {**values, **{name: "none" if values[name] is None else "set" for name in SECRETS}}


_TYPES = get_type_hints(SandboxSettings)


def _choices(name: str) -> tuple[Any, ...]:
    return get_args(_TYPES[name]) if get_origin(_TYPES[name]) is Literal else ()


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give a parser one option per setting, with the setting's meaning as its help and its default."""
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
    """Return the settings that :func:`add_options` let the command line give, by name."""
    chosen = {setting.name: getattr(options, setting.name) for setting in fields(SandboxSettings)}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in chosen.items()}


def _reader(kind: Any) -> Any:
    """Return what turns an option's text into a value, and 'none' into None where the type has it."""
    inner = next((choice for choice in get_args(kind) if choice is not type(None)), kind)

    def read(text: str) -> Any:
        return None if text == "none" and type(None) in get_args(kind) else inner(text)

    read.__name__ = inner.__name__  # what argparse names in "invalid int value"
    return read
