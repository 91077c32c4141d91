"""Progress bars, in a pseudo-terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import sys
import time

import pyarrow as pa
import pytest
from pyarrow import parquet

from airflow_provider_adobe_target.sandbox import Sandbox

COMMAND = [sys.executable, "-m", "airflow_provider_adobe_target.cli"]
ROWS = 200_000


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    ids = [f"U{number:06d}" for number in range(ROWS)]
    path = tmp_path_factory.mktemp("rows") / "rows.parquet"
    parquet.write_table(pa.table({"thirdPartyId": ids, "tier": ["gold"] * ROWS}), path)
    return str(path)


def in_terminal(*arguments, ctrl_c_after=None, columns=120):
    """Run a command in a pseudo-terminal, and return its exit code and what it printed."""
    process, terminal = pty.fork()
    if process == 0:
        os.environ.update(COLUMNS=str(columns), TERM="xterm-256color")
        os.execv(COMMAND[0], [*COMMAND, *arguments])  # noqa: S606
    printed, deadline = b"", time.monotonic() + 120
    while time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                block = os.read(terminal, 65536)
            except OSError:  # the process has ended
                break
            if not block:
                break
            printed += block
            if ctrl_c_after and re.search(ctrl_c_after, printed):
                os.write(terminal, b"\x03")
                ctrl_c_after = None
    os.close(terminal)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    return code, re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", printed.decode())


def test_bars_show_rows_rate_and_time_left(environment, file):
    code, printed = in_terminal("send", file, "--wait", "--poll-interval", "0.5")
    assert code == 0
    assert re.search(r"Read +\S+ [\d,]+ of 200,000 rows +[\d,]+ rows/s +0:00:\d\d left 0:00:\d\d", printed)
    assert re.search(r"Sent +\S+ 200,000 of 200,000 rows", printed)
    assert re.search(r"Processed +\S+ \d of 4 batches", printed)
    assert re.search(r"rows sent +200,000", printed)


def test_plan_shows_no_bar_for_sending(environment, file):
    code, printed = in_terminal("plan", file)
    assert code == 0
    assert re.search(r"Read +\S+ 200,000 of 200,000 rows", printed)
    assert not re.search(r"Sent +\S+ [\d,]+ of", printed)


def test_the_counts_of_a_million_rows_are_in_one_line_of_80_columns(environment, tmp_path):
    path = tmp_path / "million.parquet"
    ids = pa.array(range(1_000_000))
    parquet.write_table(pa.table({"thirdPartyId": ids, "points": ids}), path)
    code, printed = in_terminal("plan", str(path), columns=80)
    assert code == 0
    assert "1,000,000 of 1,000,000 rows" in printed


@pytest.mark.parametrize("option", [["--quiet"], []], ids=["quiet", "pipe"])
def test_there_is_no_bar_without_terminal_or_with_quiet(call, environment, file, option):
    if option:
        code, printed = in_terminal(*option, "plan", file)
        assert code == 0
    else:
        printed = call("plan", file, code=0).err
    assert "Read" not in printed


def test_ctrl_c_in_a_terminal_reports_what_was_sent(environment, file):
    with Sandbox(token="secret-token", processing_seconds=3600, calls_per_minute=None) as sandbox:
        environment.setenv("ADOBE_TARGET_HOST", sandbox.url)
        code, printed = in_terminal("send", file, "--wait", ctrl_c_after=rb"Processed")
        accepted = len(sandbox.batches)
    assert code == 130
    assert f"Adobe Target accepted {accepted} files with 200,000 rows." in printed
    assert printed.count("adobe-target status '") == accepted == 4


def test_warnings_are_printed_above_the_bars(environment, tmp_path):
    (tmp_path / "rows.csv").write_text("thirdPartyId,tier\n" + f"U1,{'x' * 300}\n")
    code, printed = in_terminal("plan", str(tmp_path / "rows.csv"))
    assert code == 0
    assert re.search(r"Warning: .*256", printed)
