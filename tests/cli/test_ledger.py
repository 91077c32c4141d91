"""``adobe-target ledger``."""

from __future__ import annotations

import pyarrow as pa
import pytest

from airflow_provider_adobe_target.client.session import Session
from airflow_provider_adobe_target.client.settings import TargetSettings
from airflow_provider_adobe_target.inputs.row_source import RowSource
from airflow_provider_adobe_target.inputs.templating import RowsArgument
from airflow_provider_adobe_target.ledger import ProfileLedger
from airflow_provider_adobe_target.load.bulk_upload import BulkUpload
from airflow_provider_adobe_target.load.ledger_stage import LedgerStage
from airflow_provider_adobe_target.load.upload_options import UploadOptions, UploadSource
from airflow_provider_adobe_target.profiles.options import ProfileOptions


@pytest.fixture
def ledger(sandbox, tmp_path):
    """The folder of a ledger with the profiles ``a`` and ``b``."""
    settings = TargetSettings.from_fields("acme", "secret-token", sandbox.url, None, {})
    rows = RowsArgument(pa.table({"thirdPartyId": ["a", "b"], "tier": ["gold", "tin"]}))
    session, folder = Session(settings), str(tmp_path / "ledger")
    stage = LedgerStage(
        ProfileLedger(folder),
        session,
        writer="dag.upload",
        run="first",
        key="first",
        as_of=1_700_000_000_000_000,
        poll_interval=0.05,
        timeout=5,
        dry_run=False,
    )
    source = UploadSource(lambda _: RowSource(data=rows).read())
    options = UploadOptions(poll_interval=0.05, timeout=30)
    BulkUpload(session, source, ProfileOptions(), options=options, ledger=stage).run()
    return folder


def test_show_counts_profiles_by_writer(call, ledger):
    shown = call("ledger", "show", ledger, "--json", code=0).json
    assert shown["client_code"] == "acme"
    assert shown["id_type"] == "thirdPartyId"
    assert shown["profiles"] == 2
    assert shown["profiles_by_writer"] == {"dag.upload": 2}
    assert shown["attributes"] == ["tier"]
    text = call("ledger", "show", ledger, code=0).out
    assert "Account acme, thirdPartyId; profiles: 2" in text
    assert "gold" not in text


def test_show_one_profile(call, ledger):
    profile = call("ledger", "show", ledger, "--id", "a", "--json", code=0).json
    assert profile["attributes"] == {"tier": "gold"}
    assert profile["writer"] == "dag.upload"
    assert profile["as_of"].startswith("2023-11-14T22:13:20")
    assert "gold" in call("ledger", "show", ledger, "--id", "a", code=0).out
    assert call("ledger", "show", ledger, "--id", "c", "--json", code=1).json == {"found": False}


def test_a_forgotten_profile_is_not_in_the_ledger(call, ledger):
    assert call("ledger", "forget", ledger, "a", "c", "--json", code=0).json == {"forgotten": 1}
    call("ledger", "show", ledger, "--id", "a", code=1)
    call("ledger", "show", ledger, "--id", "b", code=0)


def test_vacuum_keeps_the_profiles(call, ledger):
    assert call("ledger", "vacuum", ledger, "--keep-days", "0", code=0).out == "Kept the versions of 0 days.\n"
    assert call("ledger", "show", ledger, "--json", code=0).json["profiles"] == 2


@pytest.mark.parametrize("command", ["show", "vacuum", "forget"])
def test_a_folder_without_a_ledger_ends_with_exit_code_1(call, tmp_path, command):
    arguments = ["x"] if command == "forget" else []
    assert "ledger" in call("ledger", command, tmp_path / "none", *arguments, code=1).err
    assert not (tmp_path / "none").exists()


def test_forget_without_an_id_ends_with_exit_code_2(call, tmp_path):
    call("ledger", "forget", tmp_path, code=2)
