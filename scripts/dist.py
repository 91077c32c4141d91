"""Build the distributions and test them as a user would install them. Run it with ``make dist``.

``.local/dist`` gets the sdist, the wheel, an SBOM (CycloneDX), a table of licences, and the checksums.
"""

# ruff: noqa: T201, S603 - a command-line script that runs other programs

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

PROJECT = Path(__file__).parents[1]
DIST = PROJECT / ".local" / "dist"
SMOKE_TEST = PROJECT / "scripts" / "smoke_test.py"
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
MAX_WHEEL_BYTES = 700_000
MAX_DATA_BYTES = 40_000
"""Compressed size of all files of the package that are not Python: sample data, pages, styles."""
UNEXPECTED = (".pyc", ".so", ".png", ".jpg", ".gif", ".woff2", ".map")
EXTRAS = "sandbox"  # required by the smoke test


class DistributionError(Exception):
    """A distribution is not fit for a release."""


def main() -> int:
    """Build, check and test the distributions.

    :return: Exit code: 0, or 1 if a check failed or, with ``--strict``, a Python is missing.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uv", required=True, help="path of uv")
    parser.add_argument("--airflow", required=True, help="version of Airflow to install")
    parser.add_argument("--pythons", nargs="*", default=PYTHONS, help="versions of Python")
    parser.add_argument("--strict", action="store_true", help="fail if a Python is missing")
    options = parser.parse_args()
    try:
        missing = make(options.uv, options.airflow, options.pythons)
    except DistributionError as error:
        print(f"make dist: {error}", file=sys.stderr)
        return 1
    if missing:
        print(f"NOT TESTED on Python {', '.join(missing)}: no such interpreter was found.")
    return 1 if missing and options.strict else 0


def make(uv: str, airflow: str, pythons: Sequence[str]) -> list[str]:
    """Build and test everything.

    :return: Versions of Python that were not found.
    :raises DistributionError: If a check fails.
    """
    shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir(parents=True)
    print("Building ...")
    run([uv, "build", "--quiet", "--out-dir", DIST, PROJECT])
    files = [next(DIST.glob("*.whl")), next(DIST.glob("*.tar.gz"))]
    check_wheel(files[0])
    print("Checking the metadata ...")
    run([sys.executable, "-m", "twine", "check", "--strict", *files])
    missing = []
    for version in pythons:
        python = find_python(uv, version)
        if python is None:
            missing.append(version)
            continue
        for file in files:
            test(uv, python, version, file, airflow)
    print("Writing the SBOM and the table of licences ...")
    write_sbom(uv, files[0], airflow)
    write_checksums(files)
    for path in sorted(DIST.iterdir()):
        print(f"  {path.relative_to(PROJECT)}  {path.stat().st_size:,} bytes")
    return missing


def run(command: Sequence[object], **options: object) -> str:
    """Run a program.

    :return: Standard output.
    :raises DistributionError: If it fails. The message has the end of its output.
    """
    words = list(map(str, command))
    done = subprocess.run(words, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    if done.returncode != 0:
        output = "\n".join((done.stdout + done.stderr).splitlines()[-40:])
        raise DistributionError(f"'{' '.join(words[:6])} …' failed:\n{output}")
    return str(done.stdout)


def is_data(name: str) -> bool:
    """Return whether a file of the wheel is neither Python nor metadata."""
    return not name.endswith(".py") and ".dist-info/" not in name


def check_wheel(wheel: Path) -> None:
    """Check size, licences and metadata of the wheel.

    :raises DistributionError: If one is wrong.
    """
    size = wheel.stat().st_size
    if size >= MAX_WHEEL_BYTES:
        raise DistributionError(f"The wheel has {size:,} bytes; it must have fewer than {MAX_WHEEL_BYTES:,}.")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read(next(name for name in names if name.endswith(".dist-info/METADATA"))).decode()
        unexpected = [name for name in names if "/tests/" in name or name.endswith(UNEXPECTED)]
        data = sum(file.compress_size for file in archive.infolist() if is_data(file.filename))
    if data >= MAX_DATA_BYTES:
        raise DistributionError(f"The data files of the wheel have {data:,} bytes; limit: {MAX_DATA_BYTES:,}.")
    if unexpected:
        raise DistributionError(f"The wheel contains {', '.join(unexpected[:3])}.")
    if not any(name.endswith("licenses/LICENSE") for name in names):
        raise DistributionError("The wheel does not contain LICENSE.")
    for field in ("License-Expression: ", "Classifier: Framework :: Apache Airflow :: Provider", "Requires-Python: "):
        if field not in metadata:
            raise DistributionError(f"The metadata of the wheel lacks {field!r}.")
    if "Project-URL: " not in metadata:
        print("  Warning: pyproject.toml has no [project.urls]; set Documentation, Source and Changelog to publish.")
    print(f"  {wheel.name}: {size:,} bytes, {len(names)} files")


def find_python(uv: str, version: str) -> Path | None:
    """Return an interpreter of a version that runs: on the path, of pyenv, or of uv. None if there is none."""
    for candidate in candidates(uv, version):
        try:
            command = [candidate, "-c", "import ensurepip, ssl, sqlite3, sys; print('%d.%d' % sys.version_info[:2])"]
            found = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
        except OSError:
            continue
        if found == version:
            return Path(candidate)
    return None


def candidates(uv: str, version: str) -> Iterator[str]:
    """Yield paths of interpreters that may be of a version."""
    if on_path := shutil.which(f"python{version}"):
        yield on_path
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv", "versions")
    yield from map(str, sorted(pyenv.glob(f"{version}.*/bin/python"), reverse=True))
    done = subprocess.run([uv, "python", "find", version], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        yield done.stdout.strip()


def test(uv: str, python: Path, version: str, file: Path, airflow: str) -> None:
    """Install a distribution into a new environment, and run the smoke test outside of the repository.

    :raises DistributionError: If it fails.
    """
    kind = "wheel" if file.suffix == ".whl" else "sdist"
    print(f"Python {version}, {kind}: ", end="", flush=True)
    with tempfile.TemporaryDirectory(prefix="adobe-target-dist-") as folder:
        venv = Path(folder, "venv")
        environment = install(uv, python, venv, file, airflow)
        print(
            run([venv / "bin" / "python", "-I", SMOKE_TEST], cwd=folder, env=environment).splitlines()[-1], flush=True
        )


def install(uv: str, python: Path, venv: Path, file: Path, airflow: str) -> dict[str, str]:
    """Create an environment with one distribution, and return the environment variables of programs in it."""
    run([uv, "venv", "--quiet", "--python", python, venv])
    requirements = [f"{file}[{EXTRAS}]", f"apache-airflow=={airflow}"]
    run([uv, "pip", "install", "--quiet", "--python", venv / "bin" / "python", *requirements])
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTHON"))}
    home = str(venv.parent / "airflow")
    return kept | {"AIRFLOW_HOME": home, "PATH": f"{venv / 'bin'}:{os.environ['PATH']}", "NO_PROXY": "127.0.0.1"}


def write_sbom(uv: str, wheel: Path, airflow: str) -> None:
    """Write the SBOM of an environment that has the wheel only, and a table of the licences in it."""
    with tempfile.TemporaryDirectory(prefix="adobe-target-dist-") as folder:
        venv = Path(folder, "venv")
        install(uv, Path(sys.executable), venv, wheel, airflow)
        sbom = DIST / "sbom.cdx.json"
        command = [sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible", "--output-file", sbom]
        run([*command, "--pyproject", PROJECT / "pyproject.toml", venv / "bin" / "python"])
    components = json.loads(sbom.read_text(encoding="utf-8"))["components"]
    rows = sorted((part["name"], part.get("version", ""), licences(part)) for part in components)
    own = f"The wheel contains this project ({project_licence()}), and `CDNOW_master.txt` with its licence (MIT).\n"
    table = ["| Package | Version | Licence |", "|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows)]
    text = f"# Licences\n\n{own}\nIt contains no other package. An installation with all dependencies:\n\n"
    (DIST / "licences.md").write_text(text + "\n".join(table) + "\n", encoding="utf-8")
    print(f"  {len(components)} packages; without a known licence: {sum(not row[2] for row in rows)}")


def project_licence() -> str:
    """Return the licence expression of this project."""
    text = (PROJECT / "pyproject.toml").read_text(encoding="utf-8")
    return re.findall(r'^license = "(.*)"$', text, re.M)[0]


def licences(component: dict[str, object]) -> str:
    """Return the licences of a component of the SBOM, separated by commas. Licence texts are not repeated."""
    entries: list[dict[str, object]] = component.get("licenses", [])  # type: ignore[assignment]
    names = []
    for entry in entries:
        licence: dict[str, str] = entry.get("license", {})  # type: ignore[assignment]
        name = str(entry.get("expression") or licence.get("id") or licence.get("name") or "")
        names.append(re.sub(r"^declared license of .*", "see the package", name))
    return ", ".join(dict.fromkeys(filter(None, names)))


def write_checksums(files: Sequence[Path]) -> None:
    """Write the SHA-256 digests of the distributions, in the format of ``sha256sum``."""
    lines = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files]
    (DIST / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
