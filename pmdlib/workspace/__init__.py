"""How the verification is re-run and extended: notebooks, figures, the ledger, the command line."""

from pmdlib.workspace.figures import COLORS, annotate_slope, save_figure, use_style
from pmdlib.workspace.frames import controls_table, ways_table
from pmdlib.workspace.ledger import conclude
from pmdlib.workspace.plots import scaling_plot, slack_plot

__all__ = [
    "COLORS",
    "annotate_slope",
    "conclude",
    "controls_table",
    "save_figure",
    "scaling_plot",
    "slack_plot",
    "use_style",
    "ways_table",
]
