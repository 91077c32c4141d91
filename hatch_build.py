"""The description on PyPI: README.md without the links that lead nowhere there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

RELATIVE_LINK = re.compile(r"\[([^\[\]]+)\]\((?!https?://|#)[^()]+\)")


class ReadmeHook(MetadataHookInterface):
    """Set the project's description."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Keep the text of relative links only: a package index has no such files."""
        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": RELATIVE_LINK.sub(r"\1", text)}
