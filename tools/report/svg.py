"""From a Matplotlib figure to small, safe, accessible SVG that can stand inside an HTML page.

Texts never pass through Matplotlib, which would read ``$`` as mathematics and warn about letters that its own font
lacks: a figure carries tokens (`Texts`), and the texts are put in here. Colours become classes, so that the page can
restyle them for dark mode; the plain colours stay as the fallback. There is no style attribute, which a strict
Content-Security-Policy would refuse.
"""

from __future__ import annotations

import io
import re
import threading
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

from hansei.tools.report.text import one_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = {
    "ink": "#1f2328",
    "muted": "#59636e",
    "grid": "#d1d9e0",
    "baseline": "#6e7781",
    "window": "#0b62b8",
    "onset": "#b3470a",
}
"""Role → colour in light mode. Blue, grey and vermilion: told apart with any colour vision, and in black and white."""

SVG = "http://www.w3.org/2000/svg"
_XLINK_HREF = "{http://www.w3.org/1999/xlink}href"
_ROLES = {colour: role for role, colour in COLOURS.items()}
_LONG_NUMBER = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_DROPPED_TAGS = {f"{{{SVG}}}metadata", f"{{{SVG}}}style"}
_RC = {"svg.fonttype": "none", "svg.hashsalt": "hansei", "path.simplify": False, "text.parse_math": False}
# Matplotlib's settings are global to the process: one figure at a time is drawn under ours.
_LOCK = threading.Lock()


class Texts:
    """Stands tokens in for the texts of a figure."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    def __call__(self, text: str) -> str:
        """The token of a text."""
        self._texts.append(one_line(text))
        return f"t{len(self._texts) - 1}t"

    def resolve(self, token: str) -> str:
        """The text of a token.

        Raises:
            KeyError: for a text that went to Matplotlib without a token.
        """
        match = re.fullmatch(r"t(\d+)t", token.strip())
        if match is None:
            raise KeyError(token)
        return self._texts[int(match[1])]


def to_svg(figure: Figure, texts: Texts, *, ident: str, title: str, description: str) -> str:
    """The figure as an ``svg`` element: the same bytes for the same figure.

    Args:
        figure: its size in inches at 72 dots per inch is the size of the view box.
        texts: the texts behind the figure's tokens.
        ident: prefix of every id, unique in the page; letters, digits and hyphens.
        title: short name for screen readers.
        description: what the chart shows, for those who can't see it.
    """
    root = ET.fromstring(_draw(figure))
    _clean(root, texts)
    _rename(root, ident)
    root.attrib = {
        "viewBox": root.attrib["viewBox"],
        "role": "img",
        "aria-labelledby": f"{ident}-title {ident}-desc",
        "class": "chart",
    }
    for tag, text in (("desc", description), ("title", title)):
        element = ET.Element(f"{{{SVG}}}{tag}", {"id": f"{ident}-{tag}"})
        element.text = one_line(text)
        root.insert(0, element)
    return to_text(root)


def to_text(root: ET.Element) -> str:
    """An SVG element as text that can stand in an HTML page."""
    ET.register_namespace("", SVG)
    return ET.tostring(root, encoding="unicode")


def _draw(figure: Figure) -> str:
    import matplotlib.style

    out = io.StringIO()
    with _LOCK, matplotlib.style.context(["default", _RC]):
        figure.savefig(out, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return out.getvalue()


def _clean(element: ET.Element, texts: Texts) -> None:
    for child in list(element):
        if child.tag in _DROPPED_TAGS:
            element.remove(child)
        else:
            _clean(child, texts)
    element.tail = None
    if element.tag == f"{{{SVG}}}text":
        element.text = texts.resolve(element.text or "")
        element.attrib.pop("transform", None)  # Turns by −0 degrees.
    else:
        element.text = None
    _unstyle(element)
    for name in ("d", "x", "y", "transform", "width", "height", "points"):
        if name in element.attrib:
            element.attrib[name] = _LONG_NUMBER.sub(_short, " ".join(element.attrib[name].split()))
    if _XLINK_HREF in element.attrib:
        element.attrib["href"] = element.attrib.pop(_XLINK_HREF)


def _unstyle(element: ET.Element) -> None:
    """Style declarations become presentation attributes; a colour of ours also becomes a class."""
    classes = []
    for declaration in element.attrib.pop("style", "").split(";"):
        name, _, value = (part.strip() for part in declaration.partition(":"))
        if name == "font":
            size = re.search(r"([\d.]+)px", value)
            element.attrib["font-size"] = size[1] if size else "11"
            if "bold" in value.split() or "700" in value.split():
                element.attrib["font-weight"] = "600"
        elif name and value:
            element.attrib[name] = value
    for name in ("fill", "stroke"):
        if role := _ROLES.get(element.attrib.get(name, "")):
            classes.append(f"{name}-{role}")
    if classes:
        element.attrib["class"] = " ".join(classes)


def _rename(root: ET.Element, ident: str) -> None:
    """Drops ids that nothing points to, and numbers the others: ids must be unique in a page with many charts."""
    names: dict[str, str] = {}
    for element in root.iter():
        for name, value in element.attrib.items():
            target = value[1:] if name == "href" and value.startswith("#") else None
            match = _REFERENCE.fullmatch(value)
            target = match[1] if match else target
            if target is not None:
                names.setdefault(target, f"{ident}-{len(names)}")
    for element in root.iter():
        if (old := element.attrib.pop("id", None)) in names:
            element.attrib["id"] = names[old]
        for name, value in element.attrib.items():
            if name == "href":
                element.attrib[name] = "#" + names[value[1:]]
            elif match := _REFERENCE.fullmatch(value):
                element.attrib[name] = f"url(#{names[match[1]]})"


def _short(match: re.Match[str]) -> str:
    text = f"{float(match[0]):.1f}"
    return "0" if text == "-0.0" else text.removesuffix(".0")
