"""Tasks that write a ledger, with their numbers and attributes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from airflow_provider_adobe_target.ledger.table import Control


@dataclass(frozen=True)
class Writer:
    """One task that writes the ledger.

    :param name: DAG and task.
    :param number: Number of its column of hashes.
    :param attributes: Attributes that it has written.
    """

    name: str
    number: int
    attributes: frozenset[str]

    def to_control(self) -> Control:
        """Return the record for a commit."""
        content = {"name": self.name, "number": self.number, "attributes": sorted(self.attributes)}
        return Control(0, "writer", content)


def writers(controls: Iterable[Control]) -> dict[str, Writer]:
    """Return the tasks, by name, from control records."""
    found: dict[str, Writer] = {}
    for control in controls:
        if control.kind == "writer":
            content = control.content
            before = found.get(content["name"])
            attributes = frozenset(content["attributes"]) | (before.attributes if before else frozenset())
            found[content["name"]] = Writer(content["name"], content["number"], attributes)
    return found


def register(controls: Iterable[Control], name: str, attributes: Iterable[str]) -> tuple[Writer, bool, list[Writer]]:
    """Return a task with its attributes, whether it must be recorded, and the other tasks.

    :param controls: Control records.
    :param name: DAG and task.
    :param attributes: Attributes of the present run.
    """
    known = writers(controls)
    before = known.pop(name, None)
    others = list(known.values())
    number = before.number if before else max((writer.number for writer in others), default=0) + 1
    writer = Writer(name, number, frozenset(attributes) | (before.attributes if before else frozenset()))
    return writer, writer != before, others


def shared_attributes(writer: Writer, others: Iterable[Writer]) -> dict[str, list[str]]:
    """Return the attributes that other tasks also write: names of the tasks by attribute."""
    shared: dict[str, list[str]] = {}
    for other in others:
        for attribute in sorted(writer.attributes & other.attributes):
            shared.setdefault(attribute, []).append(other.name)
    return shared
