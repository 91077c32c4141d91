"""``adobe-target ledger``: show a ledger, erase profiles from it, and remove old versions."""

from __future__ import annotations

from collections import Counter
from typing import Any

import click

from airflow_provider_adobe_target.cli import output

_path = click.argument("path")


@click.group(short_help="Show, erase from or compact a ledger.")
def ledger() -> None:
    """Work with a ledger: a folder that keeps what Adobe Target was last confirmed to hold."""


@ledger.command()
@_path
@click.option("--id", "profile_id", help="Show the profile with this id: its attributes and where they come from.")
@output.json_option
def show(path: str, profile_id: str | None) -> int:
    """Show the account of a ledger and its number of profiles by writer. The exit code is 1 if --id is not held."""
    from airflow_provider_adobe_target.ledger import ProfileLedger

    profiles = ProfileLedger(path)
    if profile_id is not None:
        return _show_profile(profiles.get(profile_id))
    table = profiles.opened()
    description = table.open(creates=False)
    writers: Counter[str] = Counter()
    latest = None
    for batch in profiles.read(["writer", "confirmed_at"]):
        writers.update(batch.column("writer").to_pylist())
        times = [time for time in batch.column("confirmed_at").to_pylist() if time is not None]
        latest = max([*times, *([latest] if latest else [])], default=None)
    result = {
        **{name: description[name] for name in ("client_code", "id_type", "hash_ids")},
        "profiles": sum(writers.values()),
        "profiles_by_writer": dict(sorted(writers.items())),
        "attributes": sorted(table.snapshot().attributes),
        "confirmed_at": latest.isoformat() if latest else None,
    }
    output.print_result(result, lambda: _print(result))
    return 0


@ledger.command()
@_path
@click.argument("ids", nargs=-1, required=True, metavar="ID…")
@output.json_option
def forget(path: str, ids: tuple[str, ...]) -> None:
    """Erase profiles from all versions of a ledger. Adobe Target still holds them."""
    from airflow_provider_adobe_target.ledger import ProfileLedger

    count = ProfileLedger(path).forget(ids)
    output.print_result({"forgotten": count}, lambda: click.echo(f"Erased profiles: {count}"))


@ledger.command()
@_path
@click.option(
    "--keep-days", type=click.FloatRange(0, 36_500), default=30, show_default=True, help="Age of versions to keep."
)
@output.json_option
def vacuum(path: str, keep_days: float) -> None:
    """Compact a ledger, and delete files of older versions."""
    from airflow_provider_adobe_target.ledger import ProfileLedger

    ProfileLedger(path).vacuum(keep_days)
    output.print_result({"keep_days": keep_days}, lambda: click.echo(f"Kept the versions of {keep_days:g} days."))


def _show_profile(profile: dict[str, Any] | None) -> int:
    result = {"found": profile is not None, **_texts(profile or {})}
    output.print_result(result, lambda: _print_profile(result))
    return 0 if profile else 1


def _texts(profile: dict[str, Any]) -> dict[str, Any]:
    """Return a profile with its times as text."""
    return {
        name: _texts(value) if isinstance(value, dict) else value.isoformat() if hasattr(value, "isoformat") else value
        for name, value in profile.items()
    }


def _print_profile(result: dict[str, Any]) -> None:
    if not result["found"]:
        click.echo("The ledger does not hold this id.")
        return
    click.echo(f"Written by {result['writer']}, batch {result['batch_id']}, confirmed {result['confirmed_at']}")
    times = result["as_of_by_attribute"]
    output.print_table([(name, value, times.get(name) or "") for name, value in sorted(result["attributes"].items())])


def _print(result: dict[str, Any]) -> None:
    click.echo(f"Account {result['client_code']}, {result['id_type']}; profiles: {result['profiles']:,}")
    click.echo(f"Attributes: {', '.join(result['attributes']) or 'none'}")
    click.echo(f"Last confirmed: {result['confirmed_at'] or 'never'}")
    if result["profiles_by_writer"]:
        output.print_table(list(result["profiles_by_writer"].items()), right=[1])
