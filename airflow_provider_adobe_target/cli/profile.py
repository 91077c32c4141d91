"""``adobe-target profile``: show one profile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from airflow_provider_adobe_target.cli import output
from airflow_provider_adobe_target.cli.connection import conn_id_option, open_session

if TYPE_CHECKING:
    from datetime import datetime

_ID_TYPES = {"thirdPartyId": "thirdPartyId", "pcId": "pcId", "tntId": "pcId", "ECID": "marketingCloudVisitorId"}


@click.command()
@click.argument("profile_id", metavar="ID")
@click.option(
    "--id-type", type=click.Choice(list(_ID_TYPES)), default="thirdPartyId", show_default=True, help="Kind of the id."
)
@conn_id_option
@output.json_option
def profile(profile_id: str, id_type: str, conn_id: str | None) -> int:
    """Show the attributes of one profile. The data may be tens of minutes old.

    The command prints ids and values, as only ``ledger show --id`` does. The exit code is 1 if there is no such
    profile.
    """
    kind: Any = _ID_TYPES[id_type]
    found = open_session(conn_id).fetch_profile(profile_id, kind)
    attributes = {
        name: {"value": attribute.value, "modified_at": _text(attribute.modified_at)}
        for name, attribute in sorted(found.attributes.items() if found else ())
    }
    result = {
        "found": found is not None,
        "id_type": id_type,
        "modified_at": _text(found.modified_at) if found else None,
        "attributes": attributes,
    }
    output.print_result(result, lambda: _print(result))
    return 0 if found else 1


def _text(time: datetime | None) -> str | None:
    return time.isoformat() if time else None


def _print(result: dict[str, Any]) -> None:
    if not result["found"]:
        click.echo(f"Adobe Target has no profile with this {result['id_type']}.")
        return
    click.echo(f"Attributes: {len(result['attributes'])}; last change: {result['modified_at'] or 'unknown'}")
    rows = [(name, entry["value"], entry["modified_at"] or "") for name, entry in result["attributes"].items()]
    if rows:
        output.print_table(rows)
