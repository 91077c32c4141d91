"""Fields of every report that only a ledger changes."""

NO_LEDGER = {
    "rows_unchanged": 0,
    "rows_stale": 0,
    "rows_suppressed": 0,
    "rows_left": 0,
    "rows_sent_because": {},
    "values_carried": 0,
    "values_not_cleared": 0,
}
