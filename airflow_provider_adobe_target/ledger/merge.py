"""Merge incoming rows with what is held: for each attribute, the value with the latest time takes precedence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_provider_adobe_target.ledger.as_of import NEVER, Mask, Times, mask
from airflow_provider_adobe_target.ledger.hashing import keyed_hashes
from airflow_provider_adobe_target.ledger.lookup import Held


@dataclass(frozen=True)
class MergeRules:
    """How the rows of one task are merged.

    :param as_of: Time of the rows in microseconds.
    :param own: Attributes that the task writes, in this run or an earlier one.
    :param null_values: Values written for attributes that are held and have become null.
    :param carry_over: Whether attributes of other tasks are sent along.
    :param key: Key of the hashes, if the ledger keeps hashes instead of values.
    :param markers: Values for ids that are no longer in the rows, as of the task's latest complete run; empty if there
        is none.
    :param markers_as_of: Time of that run.
    """

    as_of: int
    own: frozenset[str]
    null_values: Mapping[str, str] = field(default_factory=dict)
    carry_over: bool = True
    key: bytes | None = None
    markers: Mapping[str, str] = field(default_factory=dict)
    markers_as_of: int = NEVER


@dataclass
class Merged:
    """Result of a merge. All masks and columns are aligned with the incoming rows.

    :param texts: Values to send.
    :param held_texts: Values to keep in the ledger: those to send, or their hashes.
    :param times: Times of the values; ``NEVER`` for values that are null.
    :param changed: For each attribute, rows whose value differs from what is held.
    :param raised: For each attribute, rows whose value is the same, but later confirmed.
    :param carried: For each attribute, rows whose held value is sent along.
    :param stale: Rows whose attributes are all held with a later time.
    :param same: Rows whose values are all held.
    :param not_cleared: Number of values for each row that are null, held, and have no null value.
    :param reproducible: Rows that would be unchanged if the same row came again.
    """

    texts: dict[str, pa.StringArray]
    held_texts: dict[str, pa.StringArray]
    times: dict[str, Times]
    changed: dict[str, Mask]
    raised: dict[str, Mask]
    carried: dict[str, Mask]
    stale: Mask
    same: Mask
    not_cleared: np.ndarray[tuple[int], np.dtype[np.int64]]
    reproducible: Mask

    @property
    def any_changed(self) -> Mask:
        """Rows with at least one changed value."""
        return _any(self.changed, len(self.stale))


def merge(texts: Mapping[str, pa.StringArray], held: Held, rules: MergeRules) -> Merged:
    """Merge rows with what is held.

    :param texts: Incoming values of each attribute; null leaves the value as it is.
    :param held: What is held, aligned with the rows.
    :param rules: Rules.
    """
    rows = len(held.ids)
    inputs = {name: _Input(text, np.full(rows, rules.as_of)) for name, text in texts.items()}
    not_cleared = np.zeros(rows, np.int64)
    reproducible = np.ones(rows, bool)
    for name in texts:
        nulls = mask(inputs[name].text.is_null()) & (held.times[name] != NEVER)
        if not nulls.any():
            continue
        if name in rules.null_values:
            value = pa.scalar(rules.null_values[name], pa.string())
            inputs[name].text = pc.if_else(pa.array(nulls), value, inputs[name].text)
        elif name in rules.own:
            not_cleared += nulls
            reproducible &= ~nulls
    if rules.markers_as_of > rules.as_of:
        _apply_markers(inputs, held, rules)
    return _decide(inputs, held, rules, not_cleared, reproducible)


@dataclass
class _Input:
    text: pa.StringArray
    times: Times


def _apply_markers(inputs: dict[str, _Input], held: Held, rules: MergeRules) -> None:
    """Write markers into rows of a backfill whose ids had left by a later run of the task."""
    latest = np.full(len(held.ids), NEVER)
    for name in inputs:
        np.maximum(latest, held.times[name], out=latest)
    left = latest < rules.markers_as_of
    for name, value in rules.markers.items():
        source = inputs.setdefault(name, _Input(pa.nulls(len(held.ids), pa.string()), np.full(len(held.ids), NEVER)))
        source.text = pc.if_else(pa.array(left), pa.scalar(value, pa.string()), source.text)
        source.times = np.where(left, rules.markers_as_of, source.times)


def _decide(
    inputs: Mapping[str, _Input],
    held: Held,
    rules: MergeRules,
    not_cleared: np.ndarray[tuple[int], np.dtype[np.int64]],
    reproducible: Mask,
) -> Merged:
    rows = len(held.ids)
    merged = Merged({}, {}, {}, {}, {}, {}, np.ones(rows, bool), np.ones(rows, bool), not_cleared, reproducible)
    any_given, any_stale, any_newer = (np.zeros(rows, bool) for _ in range(3))
    for name, source in inputs.items():
        given = mask(source.text.is_valid())
        stale = given & (held.times[name] > source.times)
        any_given |= given
        any_stale |= stale
        any_newer |= given & ~stale
    merged.stale = any_given & ~any_newer
    if rules.key is not None:
        merged.stale = any_stale  # a later value is known as a hash only: the row cannot be completed
    for name in held.times.keys() | inputs.keys():
        _decide_attribute(name, inputs.get(name), held, rules, merged)
    return merged


def _decide_attribute(name: str, source: _Input | None, held: Held, rules: MergeRules, merged: Merged) -> None:
    rows = len(held.ids)
    before, before_times = held.text(name), held.times.get(name, np.full(rows, NEVER))
    is_held = before_times != NEVER
    text = pa.nulls(rows, pa.string()) if source is None else source.text
    times = np.full(rows, NEVER) if source is None else source.times
    compared = text if rules.key is None else keyed_hashes(text, rules.key)
    given = mask(text.is_valid())
    wins = given & (times >= before_times)
    same = mask(pc.equal(compared, before))
    # A value that is older, but the same, does not make the row differ from what was sent.
    merged.reproducible &= ~given | wins | same
    merged.same &= ~given | same
    merged.changed[name] = wins & ~same
    merged.raised[name] = wins & same & (times > before_times)
    carries = rules.key is None and (name in rules.own or rules.carry_over)
    keeps = is_held & ~wins if carries else np.zeros(rows, bool)
    merged.carried[name] = keeps
    chosen = pa.array(wins)
    nothing = pa.nulls(rows, pa.string())
    kept = pc.if_else(pa.array(keeps), before, nothing)
    merged.texts[name] = pc.if_else(chosen, text, kept)
    merged.held_texts[name] = pc.if_else(chosen, compared, kept)
    merged.times[name] = np.where(wins, times, np.where(keeps, before_times, NEVER))


def _any(masks: Mapping[str, Mask], rows: int) -> Mask:
    found = np.zeros(rows, bool)
    for chosen in masks.values():
        found |= chosen
    return found
