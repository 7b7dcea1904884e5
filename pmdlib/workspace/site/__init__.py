"""The static site: ledger, notebooks, theory and code as pages that need no server.

`build_site` writes pages as Markdown and notebooks into a temporary folder (one module here for
each sort of page), lets Sphinx make HTML of them, and puts the result in place in whole.
"""

from pmdlib.workspace.site.build import build_site

__all__ = ["build_site"]
