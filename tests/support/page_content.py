"""What a page of the provider contains."""

from __future__ import annotations

import re
from html.parser import HTMLParser


def text_of(response):
    """The words of a page, white space joined."""

    class Words(HTMLParser):
        found = ""

        def handle_data(self, data):
            self.found += f" {data}"

    words = Words()
    words.feed(response.text)
    return " ".join(words.found.split())


def facts(response):
    """The values of the page's tiles, by label."""
    found = re.findall(r"<dt>(.*?)</dt><dd>(.*?)(?: <span.*?)?</dd>", response.text)
    return dict(found)
