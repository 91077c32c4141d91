"""The task group ``profile_sync``, links and the log of an upload, run by Airflow itself."""

from __future__ import annotations

import pytest

DAG = """
from airflow_provider_adobe_target.task_groups.adobe_target import profile_sync

rows = [{"thirdPartyId": f"goldfinch-{number}", "tier": "gold"} for number in range(5)]
profile_sync(
    "tiers", data=rows + [{"thirdPartyId": None, "tier": "x"}], max_rows_per_file=2, verify_interval=0.2,
    verify_timeout=20, poll_interval=0.1, deferrable=os.environ["DEFERRABLE"] == "yes",
)
"""


@pytest.mark.parametrize("deferrable", ["no", "yes"])
def test_a_sync_plans_uploads_and_verifies(run_dag, sandbox, deferrable):
    run = run_dag(DAG, DEFERRABLE=deferrable)

    assert run.states == {"tiers.plan": "success", "tiers.upload": "success", "tiers.verify": "success"}
    plan, report = run.result("tiers.plan"), run.result("tiers.upload")
    assert (plan["dry_run"], plan["rows_sent"], report["rows_sent"]) == (True, 5, 5)
    assert "**5 of 6 rows would be sent to Adobe Target" in run.xcoms["tiers.plan"]["markdown"]
    assert run.result("tiers.verify")["landed"] == 5
    assert len(sandbox.batches) == 3
    assert "batch_status_url" not in run.xcoms["tiers.plan"] or not run.xcoms["tiers.plan"]["batch_status_url"]
    assert run.xcoms["tiers.upload"]["batch_status_url"] in {batch["status_url"] for batch in report["batches"]}
    assert run.xcoms["tiers.upload"]["activities_url"] == "https://experience.adobe.com/#/target/activities"
    _assert_readable(run.log("tiers.upload"), report)


def _assert_readable(log, report):
    order = [
        "5 of 6 rows sent to Adobe Target (acme",
        "  Rows rejected",
        "::group::Batches: 3 (3 complete)",
        "::endgroup::",
    ]
    places = [log.rindex(text) for text in order]
    assert places == sorted(places)
    folded = log[places[2] : places[3]]
    assert all(batch["batch_id"] in folded for batch in report["batches"])
    assert sum(f"Batch {batch['batch_id']} accepted" in log for batch in report["batches"]) == 3
    assert "goldfinch" not in log
