"""The graph of a flow as inline SVG. Where nodes and edges go is graphlay's work; here they are only drawn."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hansei.tools.report.catalogue import catalogue
from hansei.tools.report.flow_view import FlowView, MoveView, StepView
from hansei.tools.report.svg import SVG, to_text
from hansei.tools.report.text import one_line

if TYPE_CHECKING:
    from graphlay import Layout

_NODE_HEIGHT = 46.0
_LEAST_WIDTH, _PADDING = 120.0, 14.0
_NAME_SIZE, _SMALL = 13, 11.5
_DOT = 14.0
_MARGIN = 12.0
_BEND = 9.0
_THICKEST = 5.0
_SPACING = {"node_gap": 40.0, "edge_label_margin": 8.0}
_GAP, _NARROW_GAP, _MANY = 44.0, 26.0, 12
"""Between layers, for graphs of at most so many steps and for larger ones."""

_ALARMING = ("new", "worse", "slower", "more")
_BETTER = ("better", "faster")


def flow_graph(view: FlowView, language: str, ident: str) -> str:
    """An ``svg`` element without scripts, styles or links; its width and height are those at which it reads well.

    Args:
        view: at most some 60 steps.
        language: code of a catalogue.
        ident: prefix of the ids in it, unique in the page.
    """
    layout = _layout(view)
    places = [_label_place(move, edge) for move, edge in zip(view.moves, layout.edges, strict=True)]
    low, high = layout.bounds["min"], layout.bounds["max"]
    left = min([low["x"], *(place.left for place in places)]) - _MARGIN
    top = low["y"] - _MARGIN
    width = max([high["x"], *(place.right for place in places)]) + _MARGIN - left
    height = high["y"] + _MARGIN - top
    root = ET.Element(
        f"{{{SVG}}}svg",
        {
            "viewBox": f"{left:.0f} {top:.0f} {math.ceil(width)} {math.ceil(height)}",
            "width": str(math.ceil(width)), "height": str(math.ceil(height)),
            "role": "img", "aria-labelledby": f"{ident}-title {ident}-desc", "class": "flow",
        },
    )  # fmt: skip
    words = catalogue(language)
    title = words.text("flow.title", name=view.name)
    for tag, text in (("title", title), ("desc", _description(view, language))):
        _add(root, tag, {"id": f"{ident}-{tag}"}, one_line(text))
    for move, edge in zip(view.moves, layout.edges, strict=True):
        _edge(root, move, edge["points"])
    begin, end, *nodes = layout.nodes
    for node, kind in ((begin, "begin"), (end, "end")):
        centre = {"cx": f"{node['center']['x']:.1f}", "cy": f"{node['center']['y']:.1f}", "r": f"{_DOT / 2:.0f}"}
        _add(root, "circle", {**centre, "class": kind})
    for step, node in zip(view.steps, nodes, strict=True):
        _node(root, step, node, language)
    for move, place in zip(view.moves, places, strict=True):
        _label(root, place, move)
    return to_text(root)


def _layout(view: FlowView) -> Layout:
    import graphlay

    graph = graphlay.Graph()
    for name in ("begin", "end"):
        graph.node(name, width=_DOT, height=_DOT, shape="ellipse", label="")
    for i, step in enumerate(view.steps):
        graph.node(i, width=_width(step), height=_NODE_HEIGHT, label="")
    for move in view.moves:
        size = {"width": _measure(_edge_text(move), _SMALL) + 6, "height": 15.0}
        graph.edge(
            "begin" if move.source is None else move.source,
            "end" if move.target is None else move.target,
            weight=max(0.01, round(move.weight, 3)),
            label_size=size,
        )
    gap = _GAP if len(view.steps) <= _MANY else _NARROW_GAP
    options = {"routing": {"style": "diagonal"}, "spacing": {**_SPACING, "layer_gap": gap}}
    return graphlay.layout(graph, preset="process_map", options=options)


def _width(step: StepView) -> float:
    lines = (_measure(step.short, _NAME_SIZE) * 1.08, _measure(_figures(step), _SMALL))
    return max(_LEAST_WIDTH, max(lines) + 2 * _PADDING)


def _measure(text: str, size: float) -> float:
    """About how wide a text is: letters of Chinese, Japanese and Korean are twice as wide as others."""
    return size * sum(1.0 if ord(character) >= 0x2E80 else 0.57 for character in text)


def _figures(step: StepView) -> str:
    return f"{step.count} · {step.seconds}" + (f" · {step.errors} ✕" if step.fails else "")


def _edge_text(move: MoveView) -> str:
    return f"{move.count} {move.mark}" if move.mark else move.count


def _edge(root: ET.Element, move: MoveView, points: list[dict[str, float]]) -> None:
    thickness = 1.2 + min(1.0, math.sqrt(move.weight) / 1.6) * (_THICKEST - 1.2)
    state = "alarm" if move.state in ("new", "more") else "gone" if move.state == "gone" else "plain"
    tip, before = points[-1], points[-2]
    length = 6.0 + thickness
    dx, dy = tip["x"] - before["x"], tip["y"] - before["y"]
    whole = math.hypot(dx, dy) or 1.0
    ux, uy = dx / whole, dy / whole
    neck = {"x": tip["x"] - ux * length * 0.8, "y": tip["y"] - uy * length * 0.8}
    attributes = {"d": _path([*points[:-1], neck]), "stroke-width": f"{thickness:.1f}", "class": f"edge {state}"}
    _add(root, "path", attributes)
    half = length * 0.45
    back = (tip["x"] - ux * length, tip["y"] - uy * length)
    corners = [
        (tip["x"], tip["y"]),
        (back[0] - uy * half, back[1] + ux * half),
        (back[0] + uy * half, back[1] - ux * half),
    ]
    _add(root, "polygon", {"points": " ".join(f"{x:.1f},{y:.1f}" for x, y in corners), "class": f"tip {state}"})


def _path(points: list[dict[str, float]]) -> str:
    """A line through the points, its bends rounded."""
    out = [f"M{points[0]['x']:.1f} {points[0]['y']:.1f}"]
    for a, b, c in zip(points, points[1:], points[2:], strict=False):
        near, far = _toward(b, a), _toward(b, c)
        out.append(f"L{near[0]:.1f} {near[1]:.1f}Q{b['x']:.1f} {b['y']:.1f} {far[0]:.1f} {far[1]:.1f}")
    out.append(f"L{points[-1]['x']:.1f} {points[-1]['y']:.1f}")
    return "".join(out)


def _toward(start: dict[str, float], end: dict[str, float]) -> tuple[float, float]:
    dx, dy = end["x"] - start["x"], end["y"] - start["y"]
    part = min(_BEND, math.hypot(dx, dy) / 2) / (math.hypot(dx, dy) or 1.0)
    return start["x"] + dx * part, start["y"] + dy * part


def _node(root: ET.Element, step: StepView, node: dict[str, Any], language: str) -> None:
    x, y = node["center"]["x"], node["center"]["y"]
    width, height = node["size"]["width"], node["size"]["height"]
    state = "alarm" if step.state in _ALARMING else "good" if step.state in _BETTER else step.state
    group = _add(root, "g", {"class": f"step {state}{' fails' if step.fails else ''}"})
    _add(group, "title", {}, catalogue(language).text(
        "flow.step", name=step.name, count=step.count, per_trace=step.per_trace, errors=step.errors,
        errors_before=step.errors_before, seconds=step.seconds, seconds_before=step.seconds_before,
    ) + (f" {step.state_label}" if step.state_label else ""))  # fmt: skip
    _add(group, "rect", {
        "x": f"{x - width / 2:.1f}", "y": f"{y - height / 2:.1f}", "width": f"{width:.1f}", "height": f"{height:.1f}",
        "rx": "7",
    })  # fmt: skip
    _add(group, "text", {"x": f"{x:.1f}", "y": f"{y - 4:.1f}", "class": "name"}, step.short)
    _add(group, "text", {"x": f"{x:.1f}", "y": f"{y + 13:.1f}", "class": "figures"}, _figures(step))


@dataclass(frozen=True)
class _Place:
    """Where an edge's label stands: its ends, its middle's height, and whether it begins at the left end."""

    left: float
    right: float
    y: float
    beside: bool


def _label_place(move: MoveView, edge: dict[str, Any]) -> _Place:
    """On the edge; above it for a loop, whose label would hide it."""
    anchor = edge.get("label_anchor") or edge["points"][len(edge["points"]) // 2]
    width = _measure(_edge_text(move), _SMALL)
    if edge["kind"] == "selfloop":
        left = min(point["x"] for point in edge["points"]) + 4
        if edge["source_port"]["side"] == "left":
            left = max(point["x"] for point in edge["points"]) - 4 - width
        return _Place(left, left + width, min(point["y"] for point in edge["points"]) - 9, True)
    return _Place(anchor["x"] - width / 2, anchor["x"] + width / 2, anchor["y"], False)


def _label(root: ET.Element, place: _Place, move: MoveView) -> None:
    alarming = " alarm" if move.state in ("new", "more") else ""
    beside = " beside" if place.beside else ""
    x = place.left if place.beside else (place.left + place.right) / 2
    attributes = {"x": f"{x:.1f}", "y": f"{place.y + 4:.1f}", "class": f"count{alarming}{beside}"}
    _add(root, "text", attributes, _edge_text(move))


def _description(view: FlowView, language: str) -> str:
    words = catalogue(language)
    names: dict[int | None, str] = {None: "", **{i: step.name for i, step in enumerate(view.steps)}}
    begin, end = words.text("flow.begin"), words.text("flow.end")
    shown = [
        words.text("flow.move", source=names[move.source] or begin, target=names[move.target] or end, count=move.count)
        for move in view.moves[:12]
    ]
    return words.text("flow.description", steps=len(view.steps), moves="; ".join(shown))


def _add(parent: ET.Element, tag: str, attributes: dict[str, str], text: str | None = None) -> ET.Element:
    element = ET.SubElement(parent, f"{{{SVG}}}{tag}", attributes)
    element.text = text
    return element
