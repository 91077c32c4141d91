"""What is sent, what is carried over, and what is left out."""

import pytest

from airflow_provider_adobe_target.ledger import misses
from airflow_provider_adobe_target.ledger.errors import LedgerLimitError
from airflow_provider_adobe_target.ledger.maintenance import compact
from support.ledger_simulation import Account, outgoing_rows

GOLD = {"a": {"tier": "gold", "score": "1"}, "b": {"tier": "gold", "score": "2"}}


def equation(counts, rows):
    report = counts.report()
    assert sum(report["rows_sent_because"].values()) == report["rows_sent"]
    return len(rows) == sum(report[name] for name in ("rows_sent", "rows_unchanged", "rows_stale", "rows_suppressed"))


def test_unchanged_rows_are_not_sent(account):
    account.run(GOLD)
    counts = account.run(GOLD, as_of=1)
    assert (counts.rows_unchanged, counts.rows_sent, account.target.rows_received) == (2, 0, 2)
    assert equation(counts, GOLD)


def test_a_changed_row_is_sent_as_a_whole(account):
    account.run(GOLD)
    counts = account.run({**GOLD, "a": {"tier": "silver", "score": "1"}}, as_of=1)
    assert counts.report()["rows_sent_because"] == {"new": 0, "changed": 1, "refreshed": 0, "forced": 0}
    assert counts.changed_by_attribute == {"tier": 1, "score": 0}
    assert account.target.profiles["a"] == {"tier": "silver", "score": "1"}


def test_attributes_of_other_tasks_are_carried_over(account):
    account.run(GOLD)
    counts = account.run({"a": {"city": "Rome"}}, "dag.b", as_of=1)
    assert counts.report()["values_carried"] == 2
    assert account.target.profiles["a"] == {"tier": "gold", "score": "1", "city": "Rome"}
    counts = account.run({"a": {"tier": "tin", "score": "1"}}, as_of=2)
    assert account.target.profiles["a"] == {"tier": "tin", "score": "1", "city": "Rome"}
    assert account.held() == account.target.profiles


def test_rows_that_differ_are_compared_in_parts_and_the_table_is_read_once(account, monkeypatch):
    monkeypatch.setattr(misses, "_PART_ROWS", 3)
    account.run({f"id-{number}": {"x": str(number), "y": "1"} for number in range(40)})
    compact(account.ledger.table("acme", "thirdPartyId"))
    account.run({f"id-{number}": {"z": str(number)} for number in range(0, 40, 3)}, "dag.b", as_of=1)
    reads = []
    read = misses.versions_of
    monkeypatch.setattr(misses, "versions_of", lambda *arguments: reads.append(arguments) or read(*arguments))
    rows = {f"id-{number}": {"x": str(number % 7), "y": "1"} for number in range(45)}
    counts = account.run(rows, as_of=2)
    assert len(reads) == 1
    assert (counts.rows_unchanged, counts.because["changed"], counts.because["new"]) == (7, 33, 5)
    expected = {
        id: {**row, "z": id[3:]} if int(id[3:]) < 40 and int(id[3:]) % 3 == 0 else row for id, row in rows.items()
    }
    assert account.held() == account.target.profiles == expected


def test_without_carry_over_the_ledger_drops_what_target_drops(account_with):
    account = account_with(carry_over=False)
    account.run(GOLD)
    account.run({"a": {"city": "Rome"}}, "dag.b", as_of=1)
    assert account.held() == account.target.profiles
    assert account.run(GOLD, as_of=2).rows_sent == 1
    assert account.held()["a"] == GOLD["a"]


def test_own_values_that_became_null_are_carried(account):
    account.run(GOLD)
    counts = account.run({"a": {"tier": "tin", "score": None}, "b": {"tier": "gold", "score": None}}, as_of=1)
    assert counts.values_not_cleared == 2
    assert account.target.profiles["a"] == {"tier": "tin", "score": "1"}
    counts = account.run({"a": {"tier": "tin", "score": None}}, as_of=2)
    assert (counts.values_not_cleared, counts.rows_unchanged) == (1, 1)


def test_null_values_replace_what_is_held(account_with):
    account = account_with(null_values={"tier": "none"})
    account.run({"a": {"tier": "gold", "score": "1"}, "b": {"tier": None, "score": "1"}})
    counts = account.run({"a": {"tier": None, "score": "1"}, "b": {"tier": None, "score": "1"}}, as_of=1)
    assert (counts.rows_sent, counts.values_not_cleared) == (1, 0)
    assert account.target.profiles == {"a": {"tier": "none", "score": "1"}, "b": {"score": "1"}}
    assert account.run({"a": {"tier": None, "score": "1"}}, as_of=2).rows_unchanged == 1


def test_new_null_values_apply_to_unchanged_rows(account, tmp_path):
    rows = {"a": {"tier": None, "score": "1"}}
    account.run({"a": {"tier": "gold", "score": "1"}})
    account.run(rows, as_of=1)
    account.run(rows, as_of=2, null_values={"tier": "none"})
    assert account.target.profiles["a"]["tier"] == "none"


def test_send_all_sends_unchanged_rows(account_with):
    account = account_with(send="all")
    account.run(GOLD)
    counts = account.run(GOLD, as_of=1)
    assert counts.report()["rows_sent_because"]["forced"] == 2
    assert account.target.rows_received == 4


def test_later_values_of_a_stale_row_survive_send_all(account_with):
    account = account_with(send="all")
    account.run({"a": {"tier": "new"}}, as_of=2)
    account.run({"a": {"tier": "old"}}, as_of=1)
    assert account.target.profiles["a"] == {"tier": "new"}


def test_suppressed_ids_are_never_sent(account):
    import pyarrow as pa

    counts = account.run(GOLD, suppress=pa.array(["a"]))
    assert counts.rows_suppressed == 1
    assert equation(counts, GOLD)
    assert account.target.profiles.keys() == {"b"}


def test_suppressed_ids_get_no_markers(account_with):
    import pyarrow as pa

    account = account_with(on_missing="marker", missing_values={"tier": "none"}, max_missing_pct=100)
    account.run(GOLD)
    counts = account.run({"b": GOLD["b"]}, as_of=1, suppress=pa.array(["a"]))
    assert (counts.rows_left, account.target.profiles["a"]["tier"]) == (0, "gold")


def test_too_many_rows_end_the_run_before_anything_is_sent(account):
    with pytest.raises(LedgerLimitError, match="max_rows_to_send=1"):
        account.run(GOLD, max_rows_to_send=1)
    assert not account.target.batches
    assert account.held() == {}


def test_a_new_attribute_makes_rows_changed_and_is_named(account):
    account.run(GOLD)
    counts = account.run({id: {**row, "city": "Rome"} for id, row in GOLD.items()}, as_of=1)
    assert (counts.because["changed"], counts.attributes_added) == (2, ["city"])


def test_names_that_differ_by_case_are_two_attributes(account):
    account.run({"a": {"tier": "1", "Tier": "2", "TIER": "3"}})
    assert account.held()["a"] == {"tier": "1", "Tier": "2", "TIER": "3"}
    assert account.run({"a": {"tier": "1", "Tier": "2", "TIER": "4"}}, as_of=1).changed_by_attribute["TIER"] == 1


def test_attributes_may_be_named_like_columns_of_the_ledger(account):
    names = ["id", "seq", "as_of", "h_1", "a_id", "bucket", "control", "a.b-c"]
    row = {name: str(number) for number, name in enumerate(names)}
    account.run({"a": row})
    assert account.held() == {"a": row} == account.target.profiles
    assert account.run({"a": row}, as_of=1).rows_unchanged == 1


@pytest.mark.parametrize(("first", "second"), [(("x\x1fy", "z"), ("x", "y\x1fz")), (("\x1e", "z"), (None, "z"))])
def test_values_with_separators_cannot_forge_another_row(account, first, second):
    account.run({"a": {"p": first[0], "q": first[1]}}, null_values={"p": "none"})
    counts = account.run({"a": {"p": second[0], "q": second[1]}}, as_of=1, null_values={"p": "none"})
    assert counts.because["changed"] == 1


def test_two_tasks_that_write_one_attribute_are_named(account):
    account.run(GOLD)
    counts = account.run({"a": {"tier": "gold", "city": "Rome"}}, "dag.b", as_of=1)
    assert counts.shared_attributes == {"tier": ["dag.a"]}


def test_a_row_of_another_task_keeps_this_task_fast(account):
    account.run(GOLD)
    account.run({"a": {"city": "Rome"}}, "dag.b", as_of=1)
    counts = account.run(GOLD, as_of=2)
    assert counts.rows_unchanged == 2


def test_profiles_that_grow_too_large_are_not_sent(account):
    refused = []
    account.run({"a": {"tier": "x"}})
    session = account.session("dag.b", as_of=1, check_size=lambda ids, texts: [len(texts) > 1])
    import tempfile
    from pathlib import Path

    from support.ledger_simulation import batches_of

    plan = session.prepare(batches_of({"a": {"city": "y"}}), Path(tempfile.mkdtemp()), too_large=refused.append)
    assert (plan.counts.rows_too_large, plan.counts.rows_sent, outgoing_rows(plan)) == (1, 0, [])
    assert refused[0].schema.names == ["row_number", "id", "profile.city"]


def test_a_dry_run_changes_nothing(account):
    account.run(GOLD)
    version = account.ledger.table("acme", "thirdPartyId").snapshot().table.version()
    counts = account.run({"a": {"tier": "tin", "score": "1"}}, as_of=1, dry_run=True)
    assert counts.because["changed"] == 1
    assert account.ledger.table("acme", "thirdPartyId").snapshot().table.version() == version
    assert account.held() == GOLD


class TestMissing:
    @pytest.fixture
    def account(self, account_with):
        return account_with(on_missing="marker", missing_values={"tier": "none"}, max_missing_pct=50)

    def test_ids_that_left_get_markers_once(self, account):
        account.run(GOLD)
        counts = account.run({"b": GOLD["b"]}, as_of=1)
        assert (counts.rows_left, counts.rows_sent, counts.rows_to_send) == (1, 0, 1)
        assert account.target.profiles["a"] == {"tier": "none", "score": "1"}
        assert account.run({"b": GOLD["b"]}, as_of=2).rows_to_send == 0
        assert account.held() == account.target.profiles

    def test_ids_that_return_are_sent_again(self, account):
        account.run(GOLD)
        account.run({"b": GOLD["b"]}, as_of=1)
        assert account.run(GOLD, as_of=2).because["changed"] == 1
        assert account.target.profiles == GOLD

    def test_an_empty_source_ends_the_run(self, account):
        account.run(GOLD)
        with pytest.raises(LedgerLimitError, match="max_missing_pct"):
            account.run({}, as_of=1)
        assert account.target.profiles == GOLD

    def test_a_shrunken_source_ends_the_run(self, account):
        rows = {str(number): {"tier": "x"} for number in range(10)}
        account.run(rows)
        with pytest.raises(LedgerLimitError, match="6 of 10"):
            account.run({id: rows[id] for id in list(rows)[:4]}, as_of=1)
        assert account.run({id: rows[id] for id in list(rows)[:5]}, as_of=1).rows_left == 5

    def test_rejected_ids_have_not_left(self, account, tmp_path):
        import pyarrow as pa

        from airflow_provider_adobe_target.ledger.hashing import hash_ids
        from support.ledger_simulation import batches_of

        account.run(GOLD)
        folder = tmp_path / "work"
        folder.mkdir()
        plan = account.session(as_of=1).prepare(
            batches_of({"b": GOLD["b"]}), folder, present=lambda: hash_ids(pa.array(["a"]))
        )
        assert plan.counts.rows_left == 0

    def test_ids_of_other_tasks_have_not_left(self, account):
        account.run({"c": {"city": "Rome"}}, "dag.b", on_missing="ignore")
        account.run(GOLD)
        account.run(GOLD, as_of=1)
        assert account.target.profiles["c"] == {"city": "Rome"}

    def test_attributes_of_others_are_carried_with_markers(self, account):
        account.run(GOLD)
        account.run({"a": {"city": "Rome"}}, "dag.b", on_missing="ignore")
        account.run({"b": GOLD["b"]}, as_of=1)
        assert account.target.profiles["a"] == {"tier": "none", "score": "1", "city": "Rome"}

    def test_a_failed_marker_is_sent_again(self, account):
        from airflow_provider_adobe_target.ledger.settlement import Outcome

        account.run(GOLD)
        account.run({"b": GOLD["b"]}, as_of=1, outcomes=[Outcome(is_complete=False)])
        assert account.run({"b": GOLD["b"]}, as_of=2).rows_left == 1
        assert account.target.profiles["a"]["tier"] == "none"

    @pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (2, 0, 1), (0, 2, 1), (1, 0, 2)])
    def test_markers_do_not_depend_on_the_order_of_runs(self, account, order):
        account.ledger.max_missing_pct = 100
        days = [GOLD, {"b": {"tier": "tin", "score": "3"}}, {"c": {"tier": "new", "score": "4"}}]
        for number in order:
            account.run(days[number], as_of=number)
        tiers = {id: row["tier"] for id, row in account.target.profiles.items()}
        assert tiers == {"a": "none", "b": "none", "c": "new"}
        assert account.held() == account.target.profiles


class TestRefresh:
    @pytest.fixture
    def account(self, account_with):
        return account_with(refresh_after_days=10)

    def test_unchanged_profiles_are_refreshed_evenly(self, account):
        from support.ledger_simulation import day

        rows = {f"customer-{number}": {"tier": "x"} for number in range(2_000)}
        account.run(rows, file_rows=5_000)
        refreshed = []
        for number in range(1, 21):
            account.now = day(100 + number)
            refreshed.append(account.run(rows, as_of=number, file_rows=5_000).because["refreshed"])
        assert sum(refreshed[:10]) == sum(refreshed[10:]) == 2_000
        assert all(140 < count < 260 for count in refreshed)

    def test_refreshed_rows_are_whole(self, account):
        from support.ledger_simulation import day

        account.run(GOLD)
        account.run({"a": {"city": "Rome"}}, "dag.b", as_of=1)
        account.now = day(120)
        counts = account.run(GOLD, as_of=2)
        assert counts.because["refreshed"] == 2
        assert account.target.profiles["a"]["city"] == "Rome"


class TestHashed:
    @pytest.fixture
    def account(self, tmp_path):
        return Account(tmp_path / "ledger", hash_ids=True)

    def test_no_id_and_no_value_is_kept(self, account, tmp_path):
        rows = {"very-personal-id": {"tier": "very-personal-value"}}
        session = account.session()
        from support.ledger_simulation import batches_of

        (tmp_path / "work").mkdir()
        plan = session.prepare(batches_of(rows), tmp_path / "work")
        found = account.send(session, plan)
        files = [path for path in (tmp_path / "ledger").rglob("*") if path.is_file()]
        session.settle(found, account.now)
        files += [path for path in (tmp_path / "ledger").rglob("*") if path.is_file()]
        assert account.target.profiles == rows
        assert not any(b"very-personal" in path.read_bytes() for path in files if path.exists())
        assert account.ledger.get("very-personal-id")["attributes"].keys() == {"tier"}

    def test_changes_are_found(self, account):
        account.run(GOLD)
        assert account.run(GOLD, as_of=1).rows_unchanged == 2
        counts = account.run({**GOLD, "a": {"tier": "tin", "score": "1"}}, as_of=2)
        assert counts.changed_by_attribute == {"tier": 1, "score": 0}
        assert account.target.profiles["a"]["tier"] == "tin"
        assert account.run({**GOLD, "a": {"tier": "old", "score": "1"}}, as_of=1).rows_stale == 1

    def test_people_are_forgotten(self, account):
        account.run(GOLD)
        assert account.ledger.forget(["a", "x"]) == 1
        assert account.ledger.get("a") is None
        assert account.run(GOLD, as_of=1).because["new"] == 1


def test_a_row_that_another_task_changed_is_sent_again(account):
    account.run(GOLD)
    account.run({"a": {"tier": "tin"}}, "dag.b", as_of=1)
    counts = account.run(GOLD, as_of=2)
    assert (counts.because["changed"], counts.rows_unchanged) == (1, 1)
    assert account.target.profiles["a"]["tier"] == "gold"


def test_ids_that_left_count_once(account_with):
    account = account_with(on_missing="marker", missing_values={"tier": "none"}, max_missing_pct=20)
    rows = {str(number): {"tier": "x"} for number in range(10)}
    for day in range(5):
        account.run(dict(list(rows.items())[day:]), as_of=day)
    assert [account.target.profiles[id]["tier"] for id in rows].count("none") == 4
