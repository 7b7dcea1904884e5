"""How Sphinx makes the site; `pmdlib.workspace.site.build` runs it."""

from importlib.metadata import version as installed

from pmdlib.workspace.site.build import CONFIGURATION
from pmdlib.workspace.site.theory_pages import BIBLIOGRAPHY

project = "pmdlib"
author = copyright = "the pmdlib authors"  # noqa: A001 - Sphinx's name for it
version = release = installed("pmdlib")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.linkcode",
    "sphinx.ext.mathjax",
    "pmdlib.workspace.site.extension",
]
if BIBLIOGRAPHY.is_file():
    extensions.append("sphinxcontrib.bibtex")
    bibtex_bibfiles = [str(BIBLIOGRAPHY)]

# Notebooks were executed before; here they are only shown.
nb_execution_mode = "off"
nb_merge_streams = True
nb_render_markdown_format = "myst"
myst_enable_extensions = ["amsmath", "attrs_inline", "deflist", "dollarmath"]
myst_heading_anchors = 3
exclude_patterns = ["explorer.html"]

# Docstrings are numpydoc; names in single backticks are names of the library where there is one.
default_role = "py:obj"
napoleon_google_docstring = False
napoleon_use_rtype = False
# Types are prose, "N arrays (S, A_i)": links from single words of them would lead astray.
napoleon_use_param = False
napoleon_custom_sections = [("Attributes", "params_style")]
autodoc_typehints = "none"
python_maximum_signature_line_length = 88
add_module_names = False

# MathJax 3: one file, which carries its fonts. Tables of notebooks may hold $, as in JupyterLab.
mathjax_path = "mathjax/tex-svg.js"
mathjax3_config = {
    "tex": {"inlineMath": [["\\(", "\\)"], ["$", "$"]]},
    "svg": {"fontCache": "global"},
    "options": {"enableMenu": False},
}

# Equations count within their page, as (6.2), and so have one number in the whole theory.
numfig = True

html_theme = "pydata_sphinx_theme"
html_title = "pmdlib"
html_static_path = [str(CONFIGURATION / "static")]
html_css_files = ["site.css"]
html_context = {"default_mode": "auto"}  # as the reader's system says
html_copy_source = False
html_show_sourcelink = False
html_show_search_summary = False  # it would fetch pages, which browsers refuse under file://
html_search_scorer = str(CONFIGURATION / "scorer.js")
html_use_index = html_domain_indices = False  # the search does it
_wide = ("index", "explore", "workspace", "extend", "benchmarks", "changes", "source/**")
html_sidebars: dict[str, list[str]] = {page: [] for page in _wide}
html_theme_options = {
    "logo": {"text": "pmdlib"},
    "navbar_align": "left",
    "header_links_before_dropdown": 9,
    "footer_start": ["copyright"],
    "footer_center": [],
    "footer_end": [],
    "show_toc_level": 2,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
