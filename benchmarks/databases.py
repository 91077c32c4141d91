"""The databases that are read: a real PostgreSQL server, and SQLite; each with a table ``profiles``."""

from __future__ import annotations

import csv
import os
import pwd
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg

from support.postgres_programs import postgres_programs

COLUMNS = {
    "thirdPartyId": "text",
    "tier": "text",
    "city": "text",
    "favourites": "text",
    "last_page": "text",
    "score": "double precision",
    "probability": "double precision",
    "orders": "bigint",
    "subscribed": "boolean",
    "birthday": "date",
    "last_seen": "timestamp",
}
TABLE = ", ".join(f'"{name}" {kind}' for name, kind in COLUMNS.items())
# The columns of tables.py as the server makes them, so that nobody else has to hold them.
MADE = """
    'customer-' || 100000000 + customer,
    (ARRAY['gold', 'silver', 'bronze', NULL])[1 + mod(customer, 4)],
    (ARRAY['Zürich', 'New York, NY', 'München', 'London', 'San Francisco', 'Paris', 'Kraków', '東京'])
        [1 + mod(customer * 7, 8)],
    'sku ' || mod(customer * 7919, 1000000) || ', sku ' || mod(customer * 104729, 1000000)
        || ' & sku ' || mod(customer * 1299709, 1000000),
    '/shop/men/shoes?id=' || mod(customer * 7919, 100000) || '&page=' || mod(customer * 104729, 100000),
    mod(customer * 7919, 100000) / 100.0,
    CASE WHEN mod(customer, 20) > 0 THEN random() END,
    CASE WHEN mod(customer, 21) > 0 THEN mod(customer * 7919, 1000000) END,
    mod(customer, 2) = 0,
    DATE '2020-01-01' + mod(customer, 2000)::int,
    TIMESTAMP '2020-01-01' + mod(customer * 7919, 100000000) * INTERVAL '1 second'
"""


@contextmanager
def postgres(fill: Callable[[psycopg.Connection], object]) -> Iterator[dict[str, str]]:
    """Run a server that only a socket in its own folder leads to.

    :param fill: makes the table
    :return: an Airflow connection to it
    """
    # Not below the user's own folder, where the server's user may not look; and a socket's path has to be short.
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    programs = postgres_programs(folder)
    user: dict[str, Any] = {}
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    run = {"cwd": folder, "env": {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}, **user}
    initdb = [programs / "initdb", "-D", "data", "-U", "loader", "-A", "trust", "-E", "UTF8", "--no-sync"]
    subprocess.run(initdb, check=True, capture_output=True, **run)
    settings = [f"-cunix_socket_directories={folder}", "-clisten_addresses=", "-cfsync=off", "-ctimezone=UTC"]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([programs / "postgres", "-D", "data", *settings], stderr=log, **run)
    connection = ["-h", folder, "-U", "loader"]
    try:
        deadline = time.monotonic() + 30
        while subprocess.run([programs / "pg_isready", *connection], capture_output=True, **run).returncode:
            if time.monotonic() > deadline:
                raise SystemExit((folder / "log").read_text())
            time.sleep(0.05)
        with psycopg.connect(host=str(folder), user="loader", dbname="postgres", autocommit=True) as filling:
            fill(filling)
            filling.execute("VACUUM ANALYZE profiles")
        yield {"conn_type": "postgres", "host": str(folder), "login": "loader", "schema": "postgres"}
    finally:
        server.terminate()
        server.wait(60)
        shutil.rmtree(folder)


def fill_from_csv(rows: Path) -> Callable[[psycopg.Connection], None]:
    """Copy the rows of a CSV file."""

    def fill(connection: psycopg.Connection) -> None:
        connection.execute(f"CREATE TABLE profiles ({TABLE})")
        with connection.cursor().copy("COPY profiles FROM STDIN (FORMAT csv, HEADER)") as copy, rows.open("rb") as file:
            while block := file.read(1 << 20):
                copy.write(block)

    return fill


def fill_by_itself(rows: int) -> Callable[[psycopg.Connection], None]:
    """Let the server make rows."""

    def fill(connection: psycopg.Connection) -> None:
        connection.execute(f"CREATE UNLOGGED TABLE profiles ({TABLE})")
        connection.execute(f"INSERT INTO profiles SELECT {MADE} FROM generate_series(0::bigint, {rows - 1}) customer")

    return fill


def sqlite(path: Path, rows: Path) -> dict[str, str]:
    """Load the rows of a CSV file; return an Airflow connection to them."""
    with closing(sqlite3.connect(path)) as connection, connection, rows.open(newline="") as file:
        connection.execute(f"CREATE TABLE profiles ({TABLE})")
        lines = csv.reader(file)
        next(lines)
        cells = ([cell or None for cell in line] for line in lines)
        connection.executemany(f"INSERT INTO profiles VALUES ({', '.join('?' * len(COLUMNS))})", cells)
    return {"conn_type": "sqlite", "host": str(path)}
