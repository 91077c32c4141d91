"""Backfills: for each attribute the value with the latest time takes precedence, in any order of runs."""

import itertools

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from airflow_provider_adobe_target.ledger.maintenance import compact
from support.ledger_simulation import Account, day

VALUES = st.sampled_from(["1", "2", None])
ROWS = st.dictionaries(st.sampled_from(["a", "b"]), st.fixed_dictionaries({"x": VALUES, "y": VALUES}), max_size=2)


def useful(rows):
    return {id: row for id, row in rows.items() if any(row.values())}


@settings(max_examples=settings.default.max_examples // 10)
@given(days=st.lists(st.tuples(st.sampled_from(["dag.a", "dag.b"]), ROWS), min_size=2, max_size=4), data=st.data())
def test_any_order_ends_in_the_same_state(days, data, tmp_path_factory):
    states = []
    for order in (range(len(days)), data.draw(st.permutations(range(len(days))))):
        account = Account(tmp_path_factory.mktemp("ledger") / "ledger")
        account.run({"z": {"x": "1"}})
        for number in order:
            task, rows = days[number]
            account.run(useful(rows), task, as_of=number)
        states.append(account.target.profiles)
        assert account.held() == account.target.profiles
    assert states[0] == states[1]


@pytest.mark.parametrize("compacts", [False, True])
@pytest.mark.parametrize("unchanged", [1, 60])
def test_an_unchanged_row_raises_the_time_of_its_values(account, compacts, unchanged):
    """Day 1 writes A, day 3 confirms A without sending it: a backfill of day 2 must not win."""
    rows = {f"id-{number}": {"x": "A"} for number in range(60)}
    account.run(rows, as_of=1)
    account.run(dict(list(rows.items())[:unchanged]), as_of=3)
    if compacts:
        compact(account.ledger.table("acme", "thirdPartyId"))
    counts = account.run({id: {"x": "B"} for id in rows}, as_of=2)
    assert (counts.rows_stale, counts.rows_sent) == (unchanged, 60 - unchanged)
    assert account.held() == account.target.profiles


def test_a_null_does_not_raise_the_time_of_a_value(account):
    account.run({"a": {"x": "A", "y": "A"}}, as_of=1)
    for number in (3, 4):
        account.run({"a": {"x": "A", "y": None}}, as_of=number)
    account.run({"a": {"x": "B", "y": "B"}}, as_of=2)
    assert account.target.profiles == {"a": {"x": "A", "y": "B"}}
    times = account.ledger.get("a")["as_of_by_attribute"]
    assert {name: int(time.timestamp() * 1e6) for name, time in times.items()} == {"x": day(4), "y": day(2)}


def test_the_later_run_wins_if_times_are_equal(account):
    account.run({"a": {"x": "1"}}, as_of=1)
    account.run({"a": {"x": "2"}}, "dag.b", as_of=1)
    assert account.target.profiles == {"a": {"x": "2"}}


def test_a_partly_stale_row_is_sent_with_the_later_values(account):
    account.run({"a": {"x": "1"}}, "dag.b", as_of=5)
    counts = account.run({"a": {"x": "old", "y": "2"}}, as_of=1)
    assert (counts.rows_stale, counts.rows_sent) == (0, 1)
    assert account.target.profiles == {"a": {"x": "1", "y": "2"}}
    assert account.run({"a": {"x": "old", "y": "2"}}, as_of=2).rows_unchanged == 1


def test_a_value_that_returns_is_a_change(account):
    for number, value in enumerate(["A", "B", "A", "A", "B", "A"]):
        account.run({"a": {"x": value}}, as_of=number)
        assert account.target.profiles == {"a": {"x": value}} == account.held()


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_three_tasks_and_three_days_in_any_order(account, order):
    days = [("dag.a", {"p": "1"}), ("dag.b", {"q": "2"}), ("dag.c", {"p": "3", "r": "3"})]
    for number in order:
        account.run({"a": days[number][1]}, days[number][0], as_of=number)
    assert account.target.profiles == {"a": {"p": "3", "q": "2", "r": "3"}} == account.held()
