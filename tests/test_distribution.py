"""What the distributions hold and declare."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "airflow_provider_adobe_target"

# Imported where something else has already imported them, never on their own.
PROVIDED_BY_THE_CALLER = {
    "MySQLdb": "cursors of the MySQL connection that a task reads",
    "pymysql": "cursors of the MySQL connection that a task reads",
    "psycopg": "cursors of the PostgreSQL connection that a task reads",
    "psycopg2": "cursors of the PostgreSQL connection that a task reads",
    "fastapi": "the page, in Airflow's API server",
    "flask_appbuilder": "the connection form of the FAB provider",
    "flask_babel": "the connection form of the FAB provider",
    "wtforms": "the connection form of the FAB provider",
}


class _Imports(ast.NodeVisitor):
    """The modules that code imports when it runs."""

    def __init__(self):
        self.modules = set()

    def visit_If(self, node):
        if not (isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
            self.generic_visit(node)

    def visit_Import(self, node):
        self.modules.update(alias.name for alias in node.names)

    def visit_ImportFrom(self, node):
        self.modules.add(node.module)


def imported_modules():
    imports = _Imports()
    for file in PACKAGE.rglob("*.py"):
        imports.visit(ast.parse(file.read_text()))
    return imports.modules


def distributions_of(module):
    parts = module.split(".")
    if parts[:2] == ["airflow", "providers"]:
        return {f"apache-airflow-providers-{'-'.join(parts[2:4])}", f"apache-airflow-providers-{parts[2]}"}
    if parts[0] == "airflow":
        return {"apache-airflow"}
    return {normal(name) for name in packages_distributions().get(parts[0], [parts[0]])}


def normal(requirement):
    return re.match(r"[A-Za-z0-9._-]+", requirement).group().lower().replace("_", "-").replace(".", "-")


def declared():
    table = re.search(r"^dependencies = \[.*?(?=^\[project\.entry)", (ROOT / "pyproject.toml").read_text(), re.S | re.M)
    return {normal(text) for text in re.findall(r'"([^"]+)"', table.group())}


def test_every_imported_package_is_declared():
    known = {*sys.stdlib_module_names, *PROVIDED_BY_THE_CALLER, PACKAGE.name}
    modules = {module for module in imported_modules() if module.split(".")[0] not in known}
    assert {"urllib3", "pyarrow"} <= {module.split(".")[0] for module in modules}
    assert sorted(module for module in modules if not distributions_of(module) & declared()) == []


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sdist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", folder]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        file.extractall(folder, filter="data")
    (content,) = (path for path in folder.iterdir() if path.is_dir())
    return content


def test_the_source_distribution_has_the_files_of_its_makefile(unpacked):
    named = set(re.findall(r"\b(?:scripts|benchmarks|docs|tests)/[\w./]+\w", (unpacked / "Makefile").read_text()))
    assert {"scripts/demo.py", "docs/explanation/performance.svg"} <= named
    assert [name for name in named if not (unpacked / name).exists()] == []


@pytest.mark.parametrize("folder", ["benchmarks", "docs", "example_dags", "scripts", "tests", PACKAGE.name])
def test_the_source_distribution_has_every_source_file(unpacked, folder):
    def files(root):
        found = (path.relative_to(root) for path in (root / folder).rglob("*") if path.is_file())
        return {path for path in found if not {"__pycache__", ".pytest_cache"} & set(path.parts)}

    assert files(ROOT) == files(unpacked)


CHECKS = {
    "ruff check": ["-m", "ruff", "check", "."],
    "ruff format": ["-m", "ruff", "format", "--check", "."],
    "import-linter": ["-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"],
}


@pytest.mark.parametrize("check", CHECKS)
def test_the_source_distribution_passes_the_checks_of_its_makefile(unpacked, check):
    done = subprocess.run([sys.executable, *CHECKS[check]], cwd=unpacked, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (file,) = folder.glob("*.whl")
    return file


def test_the_wheel_contains_the_examples_with_a_sample_of_their_data(wheel):
    examples = f"{PACKAGE.name}/example_dags/"
    with zipfile.ZipFile(wheel) as archive:
        names = {name.removeprefix(examples) for name in archive.namelist() if name.startswith(examples)}
        sample = archive.read(f"{examples}data/cdnow/CDNOW_master.txt").decode().splitlines()
    repository = ROOT / "example_dags"
    files = {str(path.relative_to(repository)) for path in repository.rglob("*.*") if path.suffix != ".pyc"}
    assert names == files
    purchases = (repository / "data" / "cdnow" / "CDNOW_master.txt").read_text().splitlines()
    customers = {line.split()[0] for line in sample[1:]}
    assert sample == purchases[:1] + [line for line in purchases[1:] if line.split()[0] in customers]
    assert len(customers) == 1_179  # cdnow_thresholds needs 990


# The release checks of ``make dist``


@pytest.fixture(scope="module")
def dist():
    spec = importlib.util.spec_from_file_location("dist", ROOT / "scripts" / "dist.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def without(wheel, folder, name):
    """Copy a wheel without the files whose name ends with ``name``."""
    copy = folder / wheel.name
    with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(copy, "w") as target:
        for entry in source.infolist():
            if not entry.filename.endswith(name):
                target.writestr(entry, source.read(entry))
    return copy


def test_the_release_checks_accept_the_wheel(dist, wheel, capsys):
    dist.check_wheel(wheel)
    assert f"{wheel.stat().st_size:,} bytes" in capsys.readouterr().out


def test_the_release_checks_refuse_a_wheel_without_licence(dist, wheel, tmp_path):
    with pytest.raises(dist.DistributionError, match="LICENSE"):
        dist.check_wheel(without(wheel, tmp_path, "/LICENSE"))


def test_the_release_checks_refuse_large_data_and_pictures(dist, wheel, tmp_path, monkeypatch):
    with_picture = without(wheel, tmp_path, "nothing")
    with zipfile.ZipFile(with_picture, "a") as archive:
        archive.writestr("airflow_provider_adobe_target/ui/static/page.png", b"x")
    with pytest.raises(dist.DistributionError, match=r"contains .*page\.png"):
        dist.check_wheel(with_picture)
    monkeypatch.setattr(dist, "MAX_DATA_BYTES", 20_000)
    with pytest.raises(dist.DistributionError, match="data files"):
        dist.check_wheel(wheel)


def test_the_release_checks_refuse_a_large_wheel(dist, wheel, monkeypatch):
    monkeypatch.setattr(dist, "MAX_WHEEL_BYTES", wheel.stat().st_size)
    with pytest.raises(dist.DistributionError, match="it must have fewer than"):
        dist.check_wheel(wheel)


def test_the_wheel_has_the_commands(wheel):
    with zipfile.ZipFile(wheel) as archive:
        points = archive.read(next(name for name in archive.namelist() if name.endswith("entry_points.txt"))).decode()
    assert "adobe-target = airflow_provider_adobe_target.cli.main:main" in points
    assert "adobe-target-sandbox = " in points


def test_an_interpreter_is_found_by_its_version(dist, tmp_path):
    uv = tmp_path / "uv"
    uv.write_text(f"#!/bin/sh\n[ $3 = 2.9 ] && exit 1\necho {sys.executable}\n")
    uv.chmod(0o755)
    version = "{}.{}".format(*sys.version_info)
    assert dist.find_python(str(uv), version) is not None
    assert dist.find_python(str(uv), "2.9") is None


def test_licences_are_listed_once_for_each_package(dist):
    entries = [{"license": {"id": "MIT"}}, {"license": {"name": "declared license of 'x'"}}, {"license": {"id": "MIT"}}]
    assert dist.licences({"licenses": entries}) == "MIT, see the package"
    assert dist.licences({"licenses": [{"expression": "MIT OR Apache-2.0"}]}) == "MIT OR Apache-2.0"
    assert dist.licences({}) == ""
