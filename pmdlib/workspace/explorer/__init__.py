"""The explorer: drag N, step and start, and watch the phase portrait and the bounds.

`page` is a fragment of HTML with everything precomputed; `explorer` is the live widget.
"""

from typing import Any

from pmdlib.workspace.explorer.page import page

__all__ = ["explorer", "page"]


def explorer() -> Any:
    """Build the widget for JupyterLab, see `pmdlib.workspace.explorer.widget.explorer`."""
    from pmdlib.workspace.explorer import widget  # ipywidgets and matplotlib load here

    return widget.explorer()
