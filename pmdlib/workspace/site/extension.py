"""What Sphinx does not bring: pages of source code whose every line can be linked to."""

import inspect
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pmdlib.workspace.site.links import relative

if TYPE_CHECKING:
    from sphinx.application import Sphinx

Page = tuple[str, dict[str, Any], str]

_MARKUP = re.compile(
    r"""(?P<kept>
        ^(?P<indent>[ ]*)\.\.[ ].*(?:\n(?:(?P=indent)[ ]+.*|[ ]*$))*   # a directive and its body
        | ^[ ]*\*+\w+(?=[ ]:|$)                                # *args among the parameters
        | ``[^`]+``
        | (?::[\w:]+:)?`[^`]+`
        | (?<![^\s'"(\[{<\-/:])(?P<stars>\*\*?)(?=[^\s*])[^*]+(?<=[^\s*])(?P=stars)(?![\w*])
    ) | [|*] | (?<=\w)_(?!\w)""",
    re.MULTILINE | re.VERBOSE,
)


def setup(app: "Sphinx") -> dict[str, Any]:
    """Join in."""
    app.connect("config-inited", lambda app, config: _link_code(app))
    app.connect("html-collect-pages", source_pages)
    # Before napoleon, which would take the escapes of its own for text.
    app.connect("autodoc-process-docstring", _escape_docstring, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def source_pages(app: "Sphinx") -> Iterator[Page]:
    """Give a page for each source file: its lines are #L-1, #L-2, .."""
    for page, path in _sources(app).items():
        code = path.read_text(encoding="utf-8")
        lines = app.builder.highlighter.highlight_block(  # type: ignore[attr-defined]
            code, "python", linenos="inline", linespans="L", anchorlinenos=True
        )
        title = page.removeprefix("source/") + path.suffix
        yield page, {"title": title, "body": f"<h1>{title}</h1>{lines}"}, "page.html"


def _sources(app: "Sphinx") -> dict[str, Path]:
    """Read which files have pages: page -> file."""
    listed = Path(app.srcdir, "sources.json").read_text(encoding="utf-8")
    return {page: Path(path) for page, path in json.loads(listed).items()}


def _link_code(app: "Sphinx") -> None:
    """Let each entry of the library's pages lead to its source."""
    pages = {path: page for page, path in _sources(app).items()}

    def resolve(domain: str, info: dict[str, str]) -> str | None:
        found = _located(info["module"], info["fullname"]) if domain == "py" else None
        if found is None or found[0] not in pages:
            return None
        return relative(f"{pages[found[0]]}.html#L-{found[1]}", "api/page")

    app.config.linkcode_resolve = resolve


def _located(module: str, name: str) -> tuple[Path, int] | None:
    """Find file and line of an object; None for what is neither class nor function."""
    value: Any = sys.modules.get(module)
    for part in name.split("."):
        value = getattr(value, part, None)
    value = inspect.unwrap(value.fget if isinstance(value, property) and value.fget else value)
    try:
        return Path(inspect.getsourcefile(value) or ""), inspect.getsourcelines(value)[1]
    except (TypeError, OSError):
        return None


def escape_plain(text: str) -> str:
    """Escape in a docstring what reads as text and would be markup: |A_i|, V_π, a*.

    Emphasis, names in backticks, literals and directives stay what they are.
    """
    text = _MARKUP.sub(lambda found: found[0] if found["kept"] else "\\" + found[0], text)
    return re.sub(r"(``[^`]+``)(?=[\w(\[{])", r"\1\\ ", text)  # ``name``[k]


def _escape_docstring(
    app: "Sphinx", what: str, name: str, value: Any, options: Any, lines: list[str]
) -> None:
    lines[:] = escape_plain("\n".join(lines)).split("\n")
