"""Run the profile pipeline over rows, and check its counts and files."""

import hashlib
import io
import itertools
import tempfile
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from airflow_provider_adobe_target.profiles.options import ProfileOptions
from airflow_provider_adobe_target.profiles.pipeline import ProfilePipeline
from airflow_provider_adobe_target.profiles.sources.cursors import read_cursor
from airflow_provider_adobe_target.profiles.sources.dataframes import read_data


@dataclass(frozen=True)
class PipelineResult:
    bodies: list[str]
    rejects: list[dict]
    read: int
    sent: int
    empty: int
    reasons: dict[str, int]

    @property
    def reject_reasons(self):
        return [(row["row_number"], row["reject_reason"]) for row in self.rejects]

    @property
    def lines(self):
        return [line for body in self.bodies for line in body.split("\n")[1:]]


def run_pipeline(data, **rules):
    """Run the pipeline over ``data``: a source, or anything that ``read_data`` takes."""
    rows = data if hasattr(data, "record_batches") else read_data(data)
    with tempfile.TemporaryDirectory() as folder:
        run = ProfilePipeline(rows, ProfileOptions(**rules), Path(folder), keep_rejects=True)
        bodies = []
        for file in run.files():
            body = file.path.read_bytes()
            assert (file.size, file.sha256) == (len(body), hashlib.sha256(body).hexdigest())
            assert file.rows == body.count(b"\n")
            bodies.append(body.decode("ascii"))
        rejects = []
        if run.rows_rejected:
            parquet = io.BytesIO()
            run.rejects.write_parquet(parquet)
            rejects = sorted(pq.read_table(parquet).to_pylist(), key=lambda row: row["row_number"])
        assert run.rows_read == run.rows_sent + run.rows_rejected + run.rows_empty
        assert run.rows_sent == sum(body.count("\n") for body in bodies)
        assert run.rows_rejected == len(rejects)
        reasons = dict(run.rejects.by_reason)
        return PipelineResult(bodies, rejects, run.rows_read, run.rows_sent, run.rows_empty, reasons)


class FakeCursor:
    """What a DB-API driver hands out, for values that sqlite does not have.

    It returns fewer rows than requested if ``cuts`` has numbers of rows: one per fetch, repeated.
    """

    def __init__(self, names, rows, cuts):
        self.description = [(name, *[None] * 6) for name in names]
        self._rows = list(rows)
        self._cuts = itertools.cycle(cuts)

    def fetchmany(self, size):
        size = min(size, next(self._cuts))
        rows, self._rows = self._rows[:size], self._rows[size:]
        return rows

    def close(self):
        pass


def cursor_source(names, rows, cuts=(10_000,)):
    """Make a source of rows, tuples of values, that come from a DB-API cursor."""

    @contextmanager
    def opened():
        with closing(FakeCursor(names, rows, cuts)) as opened_cursor:
            yield opened_cursor

    return read_cursor(opened)
