"""Build hooks of the distributions: the description on PyPI."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

RELATIVE_LINK = re.compile(r"(!?)\[([^\[\]]+)\]\((?!https?://|#)([^()]+)\)")
PAGE = re.compile(r"docs/(.+)\.md(#.*)?")


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
