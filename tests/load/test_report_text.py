from __future__ import annotations

from airflow_provider_adobe_target.load.report_text import MAX_BATCHES, report_markdown, report_text

BATCH = {"batch_id": "acme-1-1", "status": "complete", "rows": 1_207, "bytes": 1, "sha256": "0", "batch_size": 1_207}
BATCH |= {"status_url": "https://x/?batchId=acme-1-1", "successful_updates": 1_200, "profiles_not_found": 7}
REPORT = {
    "client_code": "acme",
    "api_version": "v2",
    "id_type": "thirdPartyId",
    "dry_run": False,
    "rows_read": 1_210,
    "rows_sent": 1_207,
    "rows_rejected": 2,
    "rows_empty": 1,
    "rows_unchanged": 0,
    "rejected_by_reason": {"missing_id": 1, "duplicate_id": 1},
    "values_replaced": 0,
    "rejects_path": "s3://lake/re_jects/x.parquet",
    "batches": [BATCH],
}


def test_text_has_aligned_counts_and_batches():
    assert report_text(REPORT).splitlines() == [
        "1,207 of 1,210 rows sent to Adobe Target (acme, thirdPartyId, v2)",
        "  Rows read             1,210",
        "  Rows sent             1,207",
        "  Rows rejected             2",
        "    duplicate_id            1",
        "    missing_id              1",
        "  Rows without a value      1",
        "Batches: 1 (1 complete)",
        "  Batch     Status     Rows  Updated  Not found  Failed",
        "  acme-1-1  complete  1,207    1,200          7       ?",
        "Rejected rows: s3://lake/re_jects/x.parquet",
    ]


def test_markdown_has_tables_and_escapes_names():
    text = report_markdown(REPORT)
    assert "| Rows rejected | 2 |\n" in text
    assert "| acme-1-1 | complete | 1,207 | 1,200 | 7 | ? |" in text
    assert "| missing\\_id | 1 |" in text
    assert "re\\_jects" in text
    named = {**REPORT, "rejected_by_reason": {"a|b\nc": 1}}
    assert "| a\\|b c | 1 |" in report_markdown(named)


def test_a_dry_run_says_what_would_be_sent():
    planned = {**REPORT, "dry_run": True, "batches": [{"status": "dry_run", "rows": 3, "bytes": 5, "sha256": "0"}]}
    assert report_text(planned).startswith("1,207 of 1,210 rows would be sent to Adobe Target")
    assert "Batches: 1 (1 dry_run)" in report_text(planned)


def test_long_lists_of_batches_are_cut():
    text = report_text({**REPORT, "batches": [BATCH] * (MAX_BATCHES + 3)})
    assert text.count("acme-1-1") == MAX_BATCHES
    assert "… and 3 more batches" in text


def test_reasons_for_sending_are_listed():
    text = report_text({**REPORT, "rows_sent_because": {"new": 1_000, "changed": 207, "forced": 0}})
    assert [line.split()[:3] for line in text.splitlines()[2:5]] == [
        ["Rows", "sent", "1,207"],
        ["sent", "because", "new"],
        ["sent", "because", "changed"],
    ]
    assert "forced" not in text


def test_the_report_of_linked_ids_is_formatted():
    linked = {"client_code": "acme", "dry_run": False, "rows_read": 3, "rows_linked": 2, "rows_rejected": 1}
    assert report_text(linked).startswith("2 of 3 rows sent to Adobe Target (acme)\n  Rows read")
