"""A report and its pictures as a browser reads them: tags, text, tables, curves, labels."""

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np

VOID = {"meta", "col", "input"}  # the elements without an end tag that the page uses


class Page(HTMLParser):
    """A parsed report: its tags with their attributes, text, scripts, and tables by class."""

    def __init__(self, html):
        super().__init__()
        self.html, self.text = html, ""
        self.tags, self.open, self.tables, self.scripts = [], [], {}, []
        self.feed(html)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.rows = self.tables.setdefault(dict(attrs)["class"], [])
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("th", "td"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        if {"style", "script"} & {*self.open}:
            return
        self.text += data
        if self.open and self.open[-1] in ("th", "td"):
            self.rows[-1][-1] += data

    @property
    def pictures(self):
        return [attrs["aria-label"] for tag, attrs in self.tags if tag == "svg"]

    def picture(self, label):
        """The picture of that name."""
        svgs = re.findall(r"<svg.*?</svg>", self.html, re.DOTALL)
        return Picture(svgs[self.pictures.index(label)])


SVG = "{http://www.w3.org/2000/svg}"
XLINK = "{http://www.w3.org/1999/xlink}"


class Picture:
    """A parsed plot; what is drawn in it is given in the units that its ticks say.

    Attributes:
        root: The element.
        labels: Every text in it.
        pixels: Places of every curve in the picture, with its colour.
        curves: Points of every curve, with its colour.
        markers: Points that are marked, with the colour of the marks.
        areas: Corners of every filled shape, with its colour.
    """

    def __init__(self, svg):
        self.root = ElementTree.fromstring(svg)
        self.labels, self._ticks, tick = [], {"middle": [], "end": []}, None
        for element in self.root.iter():
            if element.tag == f"{SVG}use":
                tick = float(element.attrib["x"]), float(element.attrib["y"])
            elif element.tag == f"{SVG}text":
                self._add_text(element, tick)
        clipped = [e for e in self.root.iter() if "clip-path" in e.attrib]
        paths = [e for e in clipped if e.tag == f"{SVG}path"]
        lines = [path for path in paths if "fill: none" in path.attrib["style"]]
        filled = [path for path in paths if path not in lines]
        self.pixels = [(places(path), colour([path])) for path in lines]
        self.curves = [(self._values(points), own) for points, own in self.pixels]
        self.areas = [(self._values(places(path)), colour([path])) for path in filled]
        self.markers = [
            (
                self._values([[float(u.attrib["x"]), float(u.attrib["y"])] for u in uses]),
                colour(uses),
            )
            for uses in ([*group.iter(f"{SVG}use")] for group in clipped)
            if uses
        ]

    def _add_text(self, element, tick):
        text = element.text or ""
        self.labels.append(text)
        anchor = re.search(r"text-anchor: (\w+)", element.attrib["style"])
        number = re.fullmatch(r"[-\d.]+", text.replace("\N{MINUS SIGN}", "-"))
        if number and tick and anchor and anchor[1] in self._ticks:
            self._ticks[anchor[1]].append((*tick, float(number[0])))

    def _values(self, pixels):
        """The values at places in the picture; both axes are linear."""
        across, up = (np.array(self._ticks[anchor]).T for anchor in ("middle", "end"))
        x, y = np.array(pixels, float).T
        scale = (np.polyfit(across[0], across[2], 1), np.polyfit(up[1], up[2], 1))
        return np.stack([np.polyval(scale[0], x), np.polyval(scale[1], y)], 1)


def places(path):
    """The places that a path goes through."""
    return np.array(re.findall(r"-?[\d.]+", path.attrib["d"]), float).reshape(-1, 2)


def colour(elements):
    """The colour that elements are filled with, else drawn in; `currentColor` is the text's."""
    (found,) = {
        re.findall(r"(?:fill|stroke): (#\w+|currentColor)", e.attrib["style"])[0] for e in elements
    }
    return found
