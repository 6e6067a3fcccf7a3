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


# Timelines: who answered when

LANE, LANE_GAP, SCALE = 16, 8, 900   # height of a lane, between two, width of the whole time


def _nice_step(seconds):
    """About eight marks on an axis."""
    step = 10 ** math.floor(math.log10(seconds / 8))
    return next(step * factor for factor in (1, 2, 5, 10) if step * factor >= seconds / 8)


def timeline(title, lanes, marks, zero, names):
    """lanes: (label, [(first, last, who), ...]); who: None for nobody, "two", or (name, name of the guard or None). marks: (time, text).
    zero: the time that the axis calls 0. names: those that get a colour, in the order of the legend."""
    colours = dict(zip(names, COLOURS[2:] + COLOURS[:1]))
    begin = min(spans[0][0] for _, spans in lanes if spans)
    end = max(spans[-1][1] for _, spans in lanes if spans)
    left, top = 210, 64 + 14 * len(marks)
    bottom = top + len(lanes) * (LANE + LANE_GAP)
    width, height = left + SCALE + 30, bottom + 84

    def at(when):
        return left + SCALE * (when - begin) / max(end - begin, 1e-3)

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" font-family="sans-serif">',
           '<defs><pattern id="guard" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
           '<path d="M0 0v6" stroke="white" stroke-width="4"/></pattern></defs>',
           "<style>.grid{stroke:#ddd;fill:none}.mark{stroke:#333;stroke-dasharray:3 3;fill:none}</style>",
           f'<rect width="{width}" height="{height}" fill="white"/>', _text(width / 2, 26, title, size=16)]
    out += _time_axis(at, begin, end, zero, top, bottom)
    for i, (when, text) in enumerate(marks):
        y = 54 + 14 * i
        out += [f'<path d="M{at(when):.1f} {y}V{bottom}" class="mark"/>',
                _text(at(when) + (4 if when < begin + (end - begin) * 0.7 else -4), y, f"{when - zero:.2f} s: {text}",
                      "start" if when < begin + (end - begin) * 0.7 else "end", 11)]
    for i, (label, spans) in enumerate(lanes):
        y = top + i * (LANE + LANE_GAP)
        out.append(_text(left - 8, y + 12, label, "end", 11))
        out += [part for span, after in zip(spans, [*spans[1:], None]) for part in _span(at, y, span, after, colours)]
    return "\n".join([*out, *_legend(left, height - 24, names, colours), "</svg>"]) + "\n"


def _time_axis(at, begin, end, zero, top, bottom):
    step = _nice_step(end - begin)
    out = [_text((at(begin) + at(end)) / 2, bottom + 34, "seconds")]
    for n in range(math.ceil((begin - zero) / step), math.floor((end - zero) / step) + 1):
        x = at(zero + n * step)
        out += [f'<path d="M{x:.1f} {top - 4}V{bottom}" class="grid"/>', _text(x, bottom + 16, f"{round(n * step, 6):g}", size=11)]
    return out


def _span(at, y, span, after, colours):
    """Up to the next one; what lasts a moment is still seen."""
    first, last, who = span
    x = at(first)
    width = max(at(after[0] if after else last) - x, 0.8)
    fill = "#c0392b" if who is None else "#000" if who == "two" else colours.get(who[0], "#888")
    text = "nobody" if who is None else "two answers" if who == "two" else who[0] + (f", guarded by {who[1]}" if who[1] else "")
    box = f'x="{x:.1f}" y="{y}" width="{width:.1f}" height="{LANE}"'
    out = [f'<rect {box} fill="{fill}"><title>{escape(text)}</title></rect>']
    if who not in (None, "two") and who[1]:
        out.append(f'<rect {box} fill="url(#guard)" opacity="0.6"/>')
    return out


def _legend(x, y, names, colours):
    out = []
    for text, fill in [*((name, colours[name]) for name in names), ("nobody", "#c0392b"), ("two answers", "#000")]:
        out += [f'<rect x="{x}" y="{y - 10}" width="18" height="12" fill="{fill}"/>', _text(x + 23, y, text, "start", 11)]
        x += 40 + 7 * len(text)
    out += [f'<rect x="{x}" y="{y - 10}" width="18" height="12" fill="#888"/><rect x="{x}" y="{y - 10}" width="18" height="12" fill="url(#guard)" opacity="0.6"/>',
            _text(x + 23, y, "striped: with its MAC, by a guard", "start", 11)]
    return out
