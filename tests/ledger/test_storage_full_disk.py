"""A disk that is full while the ledger is written: a small file system of its own, and a run in another process."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

# A file system in memory that only this process sees, and that it may mount without privileges.
MOUNT = 'mount -t tmpfs -o size=8m tmpfs "$1" && shift && exec "$@"'
OWN_MOUNTS = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", MOUNT, "sh"]

TASK = """
import json, os, sys, tempfile
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from airflow_provider_adobe_target.ledger.claims import open_claims
from airflow_provider_adobe_target.ledger.errors import LedgerFullDiskError
from airflow_provider_adobe_target.ledger.maintenance import compact
from support.ledger_simulation import COMPLETE, Account, batches_of

def fill(folder):
    with (folder / "filler").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass

def try_at(moment, folder):
    account = Account(folder / moment)
    rows = {f"id-{number}": {"tier": "gold", "note": os.urandom(60).hex()} for number in range(400)}
    changed = {id: {"tier": "tin", "note": os.urandom(60).hex()} for id in rows}
    account.run(rows)
    table = account.ledger.table("acme", "thirdPartyId")
    is_full = lambda now: fill(folder) if now == moment else None
    error = None
    try:
        session = account.session(as_of=1)
        is_full("claim")
        session.prepare(batches_of(changed), Path(tempfile.mkdtemp()))
        is_full("call")
        session.sending(0, 0, len(rows))
        batch_id = account.target.submit(list(changed.items()), COMPLETE)
        is_full("response")
        session.accepted(0, 0, len(rows), batch_id, "https://example.test/")
        is_full("commit")
        session.settle({0: COMPLETE}, account.now)
        is_full("compaction")
        compact(table)
    except LedgerFullDiskError as raised:
        error = raised
    received = account.target.rows_received - len(rows)
    confirmed = sum(row == changed[id] for id, row in account.held().items())
    (folder / "filler").unlink()
    hidden = [path.name for path in (folder / moment / "_pending").glob("**/.*")]
    for claim in open_claims(table.location, table.snapshot()):
        claim.stop()  # as if the process had ended
    counts = account.run(changed, as_of=2)
    return {
        "error": str(error),
        "received": received,
        "confirmed": confirmed,
        "hidden": hidden,
        "sent": counts.rows_sent,
        "is_equal": account.held() == changed == account.target.profiles,
        "open": len(open_claims(table.location, table.snapshot())),
    }

print(json.dumps({moment: try_at(moment, Path(sys.argv[2])) for moment in sys.argv[3:]}))
"""


MOMENTS = {
    "claim": {"received": 0, "confirmed": 0, "sent": 400},
    "call": {"received": 0, "confirmed": 0, "sent": 400},
    "response": {"received": 400, "confirmed": 0, "sent": 400},
    "commit": {"received": 400, "confirmed": 0, "sent": 0},
    "compaction": {"received": 400, "confirmed": 400, "sent": 0},
}


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    """Fill the disk at all moments. Return its folder, and what was found at each moment."""
    folder = tmp_path_factory.mktemp("disk")
    try:
        subprocess.run([*OWN_MOUNTS, str(folder), "true"], check=True, capture_output=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("no file system can be mounted without privileges")
    task = [sys.executable, "-c", TASK, str(Path(__file__).parents[1]), str(folder), *MOMENTS]
    done = subprocess.run([*OWN_MOUNTS, str(folder), *task], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_full_disk_confirms_nothing_and_the_next_run_completes_it(disk, moment):
    folder, found = disk
    assert f"No space is left in the ledger's folder {folder / moment}." in found[moment]["error"]
    assert {name: found[moment][name] for name in MOMENTS[moment]} == MOMENTS[moment]
    assert (found[moment]["is_equal"], found[moment]["open"], found[moment]["hidden"]) == (True, 0, [])
