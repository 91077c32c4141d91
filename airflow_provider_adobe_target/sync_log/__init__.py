"""The sync log: one small record per task run, without ids or values of rows."""
