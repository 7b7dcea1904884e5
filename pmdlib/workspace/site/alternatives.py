"""What a figure says to who cannot see it: the titles, axes and legends that it carries."""

import html
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

Element = ET.Element

LONGEST = 8
"""Labels of one sort that are told; a heat map has hundreds."""

_NUMBER = re.compile(r"[-−+×0-9.,:/%^{}$ ]*(\\mathdefault)?[-−+×0-9.,:/%^{}$ e]*")
_WORDS = {
    "times": "×",
    "le": "≤",
    "leq": "≤",
    "ge": "≥",
    "geq": "≥",
    "approx": "≈",
    "propto": "∝",
    "sim": "~",
    "pm": "±",
    "sqrt": "√",
    "prod": "∏",
    "cdot": "·",
    "infty": "∞",
    "langle": "⟨",
    "rangle": "⟩",
    "varepsilon": "ε",
    "Lambda": "Λ",
    "lambda": "λ",
    "dots": "…",
    "ldots": "…",
    "to": "→",
    "mathrm": "",
    "mathbf": "",
    "mathcal": "",
    "mathdefault": "",
    "text": "",
    "bar": "mean ",
    "tilde": "",
}
"""How words of mathtext read; Greek letters have their own (Unicode spells lambda otherwise), and
names of functions read as they are."""


def describe_figure(path: Path) -> str:
    """Describe a figure that matplotlib has written, from the texts in it.

    Matplotlib draws letters as outlines, and notes beside each text what it says.

    Parameters
    ----------
    path : Path
        An SVG file written by `save_figure`.

    Returns
    -------
    str
        Sentences: "Chart. Horizontal axis: iteration t. Legend: bound, measured." A file without
        texts is "Chart.".
    """
    parser = ET.XMLParser(target=ET.TreeBuilder(insert_comments=True))
    tree = ET.parse(path, parser=parser).getroot()
    figure = next((group for group in tree.iter() if _id(group) == "figure_1"), tree)
    panels = [_panel(group) for group in figure if _id(group).startswith("axes_")]
    panels = [text for text in panels if text]
    title = _listed("", [text for group in figure for text in _own_text(group)])
    shared = [group for group in figure if _id(group).startswith("legend_")]
    legend = _listed("Legend", [text for group in shared for text in _texts(group)])
    if len(panels) > 1:
        parts = [f"Panel {number}. {text}" for number, text in enumerate(panels, 1)]
        return _joined(f"Chart of {len(panels)} panels.", title, legend, *parts)
    return _joined("Chart.", title, legend, *panels)


def _panel(axes: Element) -> str:
    """Describe one pair of axes."""
    inside, legend, said = [], [], []
    names = iter(("Horizontal axis", "Vertical axis", "Depth axis"))
    for group in axes:
        identity = _id(group)
        inside += _own_text(group)
        if identity.startswith("matplotlib.axis_"):
            label = [text for part in group for text in _own_text(part)]
            ticks = [text for part in group if not _own_text(part) for text in _texts(part)]
            said.append(_listed(next(names, "Axis"), label or ticks))
        elif identity.startswith("legend_"):
            legend += _texts(group)
    return _joined(*said, _listed("Legend", legend), _listed("Written in it", inside))


def _joined(*sentences: str) -> str:
    return " ".join(sentence for sentence in sentences if sentence)


def _own_text(group: Element) -> list[str]:
    """Return what a group says that is itself a text."""
    return _texts(group) if _id(group).startswith("text_") else []


def _texts(group: Element) -> list[str]:
    """Return the texts in a group, in the order drawn, without bare numbers."""
    return [said for note in _notes(group) if (said := plain(note)) and not _is_number(note)]


def _notes(group: Element) -> Iterator[str]:
    for node in group.iter():
        tag: Any = node.tag  # typed as text, but that of a comment is the function `Comment`
        if tag is ET.Comment and node.text:
            yield html.unescape(node.text).strip()


def _is_number(note: str) -> bool:
    return _NUMBER.fullmatch(note) is not None


def _listed(name: str, texts: list[str]) -> str:
    """Return "name: text, text." without repetitions; nothing without texts."""
    told = list(dict.fromkeys(texts))
    more = [f"and {len(told) - LONGEST} more"] if len(told) > LONGEST else []
    body = ", ".join([*told[:LONGEST], *more])
    return f"{name}: {body}.".removeprefix(": ") if body else ""


def plain(text: str) -> str:
    r"""Return mathtext as a voice would read it: "$\eta Q_{\max}$" as "η Q_max"."""
    text = re.sub(r"\\frac\{?(\w)\}?\{?(\w)\}?", r"\1/\2", text.replace(r"\|", "‖"))
    text = re.sub(r"\\([A-Za-z]+)", _word, text)
    text = re.sub(r"\\.", " ", text)
    text = re.sub(r"[${}]", "", text)
    return " ".join(text.split())


def _word(match: re.Match[str]) -> str:
    name = match[1]
    if name in _WORDS:
        return _WORDS[name]
    size = "CAPITAL" if name[0].isupper() else "SMALL"
    try:
        return unicodedata.lookup(f"GREEK {size} LETTER {name.upper()}")
    except KeyError:
        return name


def _id(element: Element) -> str:
    return element.get("id", "")
