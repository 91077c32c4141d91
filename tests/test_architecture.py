"""The architecture page, the names of folders and test modules, and the public import paths."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

import airflow_provider_adobe_target

ROOT = Path(__file__).parent.parent
TESTS = Path(__file__).parent
PACKAGE = Path(airflow_provider_adobe_target.__file__).parent
PAGE = (ROOT / "docs" / "explanation" / "architecture.md").read_text()

PUBLIC = [
    "hooks.adobe_target.AdobeTargetHook",
    "hooks.edge_network.EdgeNetworkHook",
    "operators.adobe_target.AudienceFlagOperator",
    "operators.adobe_target.BulkProfileUpdateOperator",
    "operators.adobe_target.EdgeProfileUpdateOperator",
    "operators.adobe_target.IdentityLinkOperator",
    "operators.adobe_target.RotateProfileTokenOperator",
    "operators.adobe_target.SingleProfileUpdateOperator",
    "sensors.adobe_target.BatchStatusSensor",
    "sensors.adobe_target.ProfileLandingSensor",
    "sensors.adobe_target.ProfileTokenSensor",
    "triggers.adobe_target.BatchStatusTrigger",
    "exceptions.AdobeTargetError",
    "sandbox.Sandbox",
    "sandbox.Answer",
    "sandbox.__main__.main",
    "get_provider_info.get_provider_info",
]

# Folders whose tests concern several modules, and modules that test the repository.
CROSS_CUTTING = {"chaos", "integration", "matrix", "security", "support"}
OF_THE_REPOSITORY = {
    "test_architecture.py",
    "test_check_language.py",
    "test_distribution.py",
    "test_docs.py",
    "test_docs_links.py",
    "test_docs_shell.py",
    "test_docs_site.py",
    "test_migration_presets.py",
    "test_troubleshooting.py",
}


def rules() -> list[tuple[str, str]]:
    """Return the modules and functions that the table of rules names."""
    found = []
    for row in PAGE.partition("## Where each rule lives")[2].splitlines()[6:]:
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        if len(cells) == 4:
            found += [(cells[2], function) for function in re.findall(r"`([^`]+)`", cells[3])]
    return found


@pytest.mark.parametrize("path", PUBLIC)
def test_a_public_path_resolves(path):
    module, _, name = path.rpartition(".")
    assert getattr(importlib.import_module(f"airflow_provider_adobe_target.{module}"), name)


@pytest.mark.parametrize(("modules", "function"), rules())
def test_a_rule_is_where_the_architecture_page_says(modules, function):
    sources = [(PACKAGE / module).read_text() for module in re.findall(r"`([^`]+)`", modules)]
    name = function.rpartition(".")[2]
    assert any(re.search(rf"^\s*(async )?(def|class) {name}\b", source, re.MULTILINE) for source in sources)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:[a-z_]+/)+[a-z_]+\.py)`", PAGE))))
def test_a_path_on_the_architecture_page_exists(path):
    assert (PACKAGE / path).exists()


def test_the_table_of_rules_is_read():
    assert len(rules()) > 25


def test_no_folder_has_a_name_that_tools_skip():
    skipped = {"target", "build", "dist", "out", "bin", "lib", "env"}
    folders = {path.parent.name for path in PACKAGE.rglob("*.py")}
    assert not folders & skipped


def mirrored_modules() -> list[Path]:
    """Return the test modules that must name a module or folder of the package."""
    paths = (path.relative_to(TESTS) for path in TESTS.rglob("test_*.py"))
    return sorted(path for path in paths if path.parts[0] not in CROSS_CUTTING | OF_THE_REPOSITORY)


def names_a_module(path: Path) -> bool:
    """Return whether a test module names a module or folder: both ``test_x.py`` and ``test_x_y.py`` test ``x.py``."""
    folder = PACKAGE / path.parent
    found = folder.iterdir() if folder.is_dir() else ()
    names = [entry.stem.strip("_") for entry in found if entry.suffix in ("", ".py")]
    return any(f"{path.stem}_".startswith(f"test_{name}_") for name in names)


def test_every_test_module_names_what_it_tests():
    modules = mirrored_modules()
    assert len(modules) > 80
    assert [str(path) for path in modules if not names_a_module(path)] == []
