"""A small plot as SVG: panels side by side, both axes logarithmic, one line per series, one legend."""

import math
from html import escape

COLOURS = ["#888888", "#c0392b", "#2471a3", "#229954", "#b7950b", "#7d3c98"]
WIDTH, HEIGHT = 430, 300            # of a panel's plot area
LEFT, TOP, GAP, BOTTOM = 64, 64, 84, 62


def _decades(values):
    low, high = math.log10(min(values)), math.log10(max(values))
    return math.floor(low + 1e-9), math.ceil(high - 1e-9)


def _number(exponent):
    value = 10 ** exponent
    for unit, size in (("M", 10 ** 6), ("k", 10 ** 3)):
        if value >= size:
            return f"{value // size}{unit}"
    return f"{value:g}"


def _text(x, y, text, anchor="middle", size=12, extra=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" {extra}>{escape(text)}</text>'


def _panel(left, title, label, series):
    x0, x1 = _decades([x for _, points in series for x, _ in points])
    y0, y1 = _decades([y for _, points in series for _, y in points])

    def at(x, y):
        return (left + WIDTH * (math.log10(x) - x0) / (x1 - x0), TOP + HEIGHT * (1 - (math.log10(y) - y0) / (y1 - y0)))

    out = [_text(left + WIDTH / 2, TOP - 10, title, size=13), _text(left + WIDTH / 2, TOP + HEIGHT + 36, label)]
    for exponent in range(x0, x1 + 1):
        x, _ = at(10 ** exponent, 10 ** y0)
        out += [f'<path d="M{x:.1f} {TOP}v{HEIGHT}" class="grid"/>', _text(x, TOP + HEIGHT + 18, _number(exponent))]
    for exponent in range(y0, y1 + 1):
        _, y = at(10 ** x0, 10 ** exponent)
        out += [f'<path d="M{left} {y:.1f}h{WIDTH}" class="grid"/>', _text(left - 8, y + 4, _number(exponent), "end")]
    for colour, (name, points) in zip(COLOURS, series):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(*point) for point in points))
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{2.5 if name == "l2lb" else 1.5}"><title>{escape(name)}</title></polyline>')
        out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{colour}"/>' for x, y in (at(*point) for point in points)]
    return out


def chart(title, panels):
    """panels: (title, x label, [(name, [(x, y), ...]), ...]) each, with the same names."""
    width = LEFT + len(panels) * WIDTH + (len(panels) - 1) * GAP + 24
    height = TOP + HEIGHT + BOTTOM + 24
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" font-family="sans-serif">',
           "<style>.grid{stroke:#ddd;fill:none}</style>", f'<rect width="{width}" height="{height}" fill="white"/>',
           _text(width / 2, 26, title, size=16)]
    for i, panel in enumerate(panels):
        out += _panel(LEFT + i * (WIDTH + GAP), *panel)
    names = [name for name, _ in panels[0][2]]
    for i, (colour, name) in enumerate(zip(COLOURS, names)):
        x = LEFT + i * 130
        out += [f'<path d="M{x} {height - 22}h24" stroke="{colour}" stroke-width="3"/>', _text(x + 30, height - 18, name, "start")]
    return "\n".join([*out, "</svg>"]) + "\n"
