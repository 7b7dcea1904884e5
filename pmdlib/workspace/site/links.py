"""Links of README, notebooks and theory, which name files, turned into links between pages."""

import html
import posixpath
import re
from collections.abc import Mapping
from pathlib import Path

from pmdlib.workspace.files import WorkspaceError

_FENCE = re.compile(r"^(`{3,}|~{3,}).*?^\1[`~]*\s*$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)|(?<!`)`(pmdlib/[\w/]+\.py)`")


class Links:
    """Where the files of a workspace are found on the site.

    Parameters
    ----------
    root : Path
        The workspace.
    pages : mapping
        Path of a file, relative to the workspace, -> name of its page without suffix.
    """

    def __init__(self, root: Path, pages: Mapping[str, str]) -> None:
        self.root = root
        self.pages = dict(pages)
        self.copied: set[str] = set()
        """Files that have no page and are linked to: they must lie on the site as they are."""

    def rewrite(self, text: str, origin: str, page: str, *, strict: bool = True) -> str:
        """Return Markdown whose links to files lead to pages.

        Code in backticks that names a file of the library becomes a link to it.

        Parameters
        ----------
        text : str
            Markdown.
        origin : str
            The file that it comes from, relative to the workspace: its links are relative to that.
            A link that begins with / is relative to the workspace.
        page : str
            Name of the page that it goes to.
        strict : bool, default True
            Whether a link to no file is an error; else its words remain, without a link. So the
            theory, which comes with the library, may be shown in a workspace of other notebooks.

        Raises
        ------
        WorkspaceError
            If a link leads to no file, unless not ``strict``.
        """

        def link(match: re.Match[str]) -> str:
            if match[4]:
                name = f"<code>{match[4]}</code>"
                there = _inside(self.root, match[4])
                return self._anchor(match[4], "", name, page) if there else match[0]
            target = match[3]
            if re.match(r"[a-z][a-z0-9+.-]*:|#", target):
                return match[0]
            file = _resolved(target, origin)
            if file not in self.pages and not _inside(self.root, file):
                if not strict:
                    return match[2]
                raise WorkspaceError(
                    f"{origin} links to {target}, which is no file of the workspace"
                )
            return self._link(match[1] == "!", match[2], target, file, page)

        pieces, end = [], 0
        for fence in _FENCE.finditer(text):
            pieces += [_LINK.sub(link, text[end : fence.start()]), fence[0]]
            end = fence.end()
        return "".join([*pieces, _LINK.sub(link, text[end:])])

    def _link(self, image: bool, label: str, target: str, file: str, page: str) -> str:
        """Return one link, or one picture, as it must read on its page."""
        fragment = target.partition("#")[2]
        if image:
            address = relative(self.address(file), page)
            return (
                f'<a class="figure" href="{address}"><img src="{address}" '
                f'alt="{html.escape(label)}" loading="lazy"></a>'
            )
        if file in self.pages:
            ending = f"#{fragment}" if fragment else ""
            suffix = "ipynb" if file.endswith(".ipynb") else "md"
            return f"[{label}](/{self.pages[file]}.{suffix}{ending})"
        return self._anchor(file, fragment, label, page)

    def _anchor(self, file: str, fragment: str, label: str, page: str) -> str:
        """Return a link in HTML, which Sphinx does not look into."""
        address = relative(self.address(file), page) + (f"#{fragment}" if fragment else "")
        return f'<a href="{address}">{label}</a>'

    def address(self, file: str) -> str:
        """Return where a file of the workspace lies on the site, relative to its root.

        Pages and figures are there anyhow; of other files it is noted that they are needed.
        """
        if file in self.pages:
            return f"{self.pages[file]}.html"
        if re.fullmatch(r"pmdlib/.+\.py", file):
            return source_page(file) + ".html"
        if file.startswith("figures/"):
            return file
        self.copied.add(file)
        return f"files/{file}"


def _resolved(target: str, origin: str) -> str:
    """Return the path of a link's target, relative to the workspace."""
    path = target.partition("#")[0]
    folder = "" if path.startswith("/") else posixpath.dirname(origin)
    return posixpath.normpath(posixpath.join(folder, path.lstrip("/")))


def _inside(root: Path, file: str) -> bool:
    """Say whether a path, relative to the workspace, is that of a file in it."""
    return not file.startswith("../") and (root / file).is_file()


def source_page(file: str) -> str:
    """Return the page that shows a source file, named relative to the workspace."""
    return f"source/{file.removesuffix('.py')}"


def relative(address: str, page: str) -> str:
    """Return an address on the site as seen from a page."""
    return posixpath.relpath(address, posixpath.dirname(page) or ".")
