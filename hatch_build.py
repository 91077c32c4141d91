"""Build hooks of the distributions: the description on PyPI, and the example DAGs in the wheel."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

RELATIVE_LINK = re.compile(r"(!?)\[([^\[\]]+)\]\((?!https?://|#)([^()]+)\)")
PAGE = re.compile(r"docs/(.+)\.md(#.*)?")


EXAMPLES = "airflow_provider_adobe_target/example_dags"
PURCHASES = "data/cdnow/CDNOW_master.txt"
SAMPLE = 20  # the wheel contains every twentieth customer, to stay small


class ExamplesHook(BuildHookInterface[Any]):
    """Add the example DAGs to the wheel, with a sample of their data."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Map the files of ``example_dags`` to the package."""
        if self.target_name != "wheel" or version == "editable":
            return
        source = Path(self.root, "example_dags")
        files = [*source.glob("*.py"), *source.glob("sql/*.sql"), *source.glob("data/cdnow/*.md")]
        files.append(source / "data" / "cdnow" / "LICENSE.lifetimes.txt")
        included = {str(file): f"{EXAMPLES}/{file.relative_to(source).as_posix()}" for file in files}
        self._folder = tempfile.TemporaryDirectory()
        sample = Path(self._folder.name, "purchases.txt")
        sample.write_text(_sample((source / PURCHASES).read_text(encoding="utf-8")), encoding="utf-8")
        build_data["force_include"].update(included | {str(sample): f"{EXAMPLES}/{PURCHASES}"})

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the sample."""
        if folder := getattr(self, "_folder", None):
            folder.cleanup()


def _sample(purchases: str) -> str:
    header, *lines = purchases.splitlines(keepends=True)
    return "".join([header, *(line for line in lines if int(line.split()[0]) % SAMPLE == 1)])


class ReadmeHook(MetadataHookInterface):
    """Set the project's description: README.md without relative links, which a package index cannot resolve.

    With ``Documentation`` and ``Source`` in ``[project.urls]``, the links lead there. Without them, only their text is
    kept, and images are removed.
    """

    def update(self, metadata: dict[str, Any]) -> None:
        """Add ``readme`` to the metadata."""
        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        urls = metadata.get("urls", {})
        description = RELATIVE_LINK.sub(lambda link: _absolute(link, urls), text)
        metadata["readme"] = {"content-type": "text/markdown", "text": description}


def _absolute(link: re.Match[str], urls: dict[str, str]) -> str:
    is_image, text, target = link[1] == "!", link[2], link[3]
    page = PAGE.fullmatch(target)
    if page and "Documentation" in urls:
        return f"[{text}]({urls['Documentation'].rstrip('/')}/{page[1]}.html{page[2] or ''})"
    if "Source" in urls:
        view = "raw" if is_image else "blob"
        return f"{link[1]}[{text}]({urls['Source'].rstrip('/')}/{view}/main/{target})"
    return "" if is_image else text
