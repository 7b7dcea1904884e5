"""The explorer as a fragment of a page that fetches nothing."""

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from pmdlib.workspace.explorer.data import gather


def page() -> str:
    """Return the explorer as an HTML fragment: style, data and script are inline.

    Building it runs policy mirror descent on every setting that the page offers, which takes some
    fifteen seconds. Ids begin with "pmdx"; one fragment a page.
    """
    return fragment(gather())


def fragment(data: Mapping[str, Any]) -> str:
    """Put data, as `gather` returns them, into the page.

    No line is blank, so that the fragment may stand in Markdown as it is.
    """
    # "</" would end the element; in JSON the slash may be escaped, and it stands in strings only.
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False).replace("</", "<\\/")
    parts = [
        f"<style>\n{_source('explorer.css')}</style>",
        _source("explorer.html"),
        f'<script type="application/json" id="pmdx-data">{text}</script>',
        f"<script>\n{_source('explorer.js')}</script>",
    ]
    lines = "\n".join(parts).splitlines()
    return "\n".join(line for line in lines if line.strip()) + "\n"


def _source(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")
