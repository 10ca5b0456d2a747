"""Line charts as SVG text: one line per series, a band behind it, labels at the line ends. Knows numbers alone.

No plotting library: a line chart is two hundred lines of arithmetic, and the report stays one small file that opens
without a network.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from html import escape

from provenance.report.parts import Chart, PublishedPoint, Series

WIDTH, HEIGHT = 560, 320
_LEFT, _TOP, _BOTTOM = 58, 14, 42
_LETTER = 7.0  # width of one letter of a line's name; the right margin holds the longest
# Okabe and Ito's palette: told apart by readers with any kind of colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8A6D00", "#555555")
_LABEL_GAP = 13.0
_MOST_BANDS = len(COLOURS)  # the bands of more lines than that hide each other


def line_chart(chart: Chart, colours: dict[str, str]) -> str:
    """The chart as an `<svg>` element; a sentence where there is nothing to draw."""
    shown = replace(chart, series=[_drawable(s, chart) for s in chart.series])
    published = [p for p in chart.published if _fits(p.x, log=chart.log_x) and _fits(p.y, log=chart.log_y)]
    xs = [x for s in shown.series for x in s.x] + [p.x for p in published]
    ys = [v for s in shown.series for v in (*s.low, *s.y, *s.high, *_known(s))] + [p.y for p in published]
    finite = [v for v in ys if _fits(v, log=chart.log_y)]
    if not any(s.y for s in shown.series):
        return "<p class='empty'>no finite values</p>"
    scale = _Scale(
        _Axis(min(xs), max(xs), log=chart.log_x, pad=0.0),
        _Axis(min(finite), max(finite), log=chart.log_y),
        right=min(max(76.0, 20 + _LETTER * max(len(s.name) for s in shown.series)), 230.0),
    )
    parts = [
        f"<svg viewBox='0 0 {WIDTH} {HEIGHT}' role='img' aria-label='{escape(chart.title, quote=True)}'>",
        *_axes(scale, chart),
        *(_band(s, scale, colours[s.name]) for s in shown.series if len(shown.series) <= _MOST_BANDS),
        *(_line(s, scale, colours[s.name], chart.x_label) for s in shown.series),
        *_rings(published, scale),
        *_end_labels(shown.series, scale, colours),
        "</svg>",
    ]
    return "".join(parts)


def colours_of(names: Sequence[str]) -> dict[str, str]:
    """One colour per name, the same in every chart of a report."""
    return {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About `count` round numbers (1, 2 or 5 times a power of ten) from low to high."""
    span = high - low
    if span <= 0 or not math.isfinite(span):
        return [low]
    raw = span / count
    power = 10 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten from low to high, with twos and fives where fewer than three would stand there."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    powers = [10.0**e for e in range(first, last + 1)]
    marks = [p for p in powers if low <= p <= high]
    if len(marks) < 3:
        marks = [m * p for p in powers for m in (1, 2, 5) if low <= m * p <= high]
    return marks[:: math.ceil(len(marks) / 8)] if marks else [low]


def short(value: float) -> str:
    """A tick's number, which must fit left of the axis: 0.35, 1200, 50k, 2.5M."""
    for power, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if power <= abs(value) < 1e13:
            return f"{value / (1e3 if letter == 'k' else power):.4g}{letter}"
    return f"{value:.4g}"


class _Axis:
    """One direction: data to the unit interval, linear or logarithmic."""

    def __init__(self, low: float, high: float, *, log: bool, pad: float = 0.06) -> None:
        self.log = log
        start, end = (math.log10(low), math.log10(high)) if log else (low, high)
        room = (end - start) * pad
        if end == start == 0:  # shares and counts that stay at nothing: there is no less
            end = 1.0
            room = pad
        elif end == start:
            room = abs(end) * 0.05
        self._start, self._end = start - room, end + room

    def at(self, value: float) -> float:
        """Where `value` stands between 0 and 1."""
        return ((math.log10(value) if self.log else value) - self._start) / (self._end - self._start)

    def marks(self, count: int) -> list[float]:
        """Round values along the axis."""
        return log_ticks(10**self._start, 10**self._end) if self.log else ticks(self._start, self._end, count)


class _Scale:
    """Data to pixels."""

    def __init__(self, across: _Axis, up: _Axis, *, right: float) -> None:
        self.across, self.up = across, up
        self.end = WIDTH - right
        """Where the plot ends and the names begin."""

    def x(self, value: float) -> float:
        return _LEFT + self.across.at(value) * (self.end - _LEFT)

    def y(self, value: float) -> float:
        return HEIGHT - _BOTTOM - self.up.at(value) * (HEIGHT - _TOP - _BOTTOM)


def _fits(value: float, *, log: bool) -> bool:
    return math.isfinite(value) and (value > 0 or not log)


def _drawable(series: Series, chart: Chart) -> Series:
    """The series without points that have no place on the chart's axes."""
    keep = [
        i
        for i, (x, v) in enumerate(zip(series.x, series.y, strict=True))
        if _fits(x, log=chart.log_x) and _fits(v, log=chart.log_y)
    ]
    floor = min((series.y[i] for i in keep), default=0.0)

    def bounded(value: float, other: float) -> float:
        return value if _fits(value, log=chart.log_y) else min(other, floor)

    return Series(
        name=series.name,
        x=[series.x[i] for i in keep],
        y=[series.y[i] for i in keep],
        low=[bounded(series.low[i], series.y[i]) for i in keep],
        high=[bounded(series.high[i], series.y[i]) for i in keep],
        expected=[v if (v := series.expected[i]) is not None and _fits(v, log=chart.log_y) else None for i in keep],
    )


def _known(series: Series) -> list[float]:
    return [v for v in series.expected if v is not None]


def _axes(scale: _Scale, chart: Chart) -> list[str]:
    parts = []
    for value in scale.up.marks(5):
        y = scale.y(value)
        parts.append(f"<line class='grid' x1='{_LEFT}' x2='{scale.end:.1f}' y1='{y:.1f}' y2='{y:.1f}'/>")
        parts.append(f"<text class='tick' x='{_LEFT - 6}' y='{y + 4:.1f}' text-anchor='end'>{short(value)}</text>")
    for value in scale.across.marks(8):
        if value == int(value) or chart.x_label != "generation":
            x = scale.x(value)
            parts.append(
                f"<text class='tick' x='{x:.1f}' y='{HEIGHT - _BOTTOM + 17}' text-anchor='middle'>{short(value)}</text>"
            )
    middle = (_LEFT + scale.end) / 2
    parts.append(
        f"<text class='label' x='{middle}' y='{HEIGHT - 6}' text-anchor='middle'>{escape(chart.x_label)}</text>"
    )
    parts.append(
        f"<text class='label' transform='translate(13 {HEIGHT / 2 - 14}) rotate(-90)' text-anchor='middle'>"
        f"{escape(chart.y_label)}</text>"
    )
    return parts


def _path(points: Sequence[tuple[float, float]], scale: _Scale) -> str:
    return "M" + "L".join(f"{scale.x(x):.1f} {scale.y(v):.1f}" for x, v in points)


def _band(series: Series, scale: _Scale, colour: str) -> str:
    if len(series.x) < 2:
        return ""
    upper = list(zip(series.x, series.high, strict=True))
    lower = list(zip(series.x, series.low, strict=True))
    return f"<path class='band' fill='{colour}' d='{_path([*upper, *reversed(lower)], scale)}Z'/>"


def _line(series: Series, scale: _Scale, colour: str, x_label: str) -> str:
    points = list(zip(series.x, series.y, strict=True))
    theory = [(x, v) for x, v in zip(series.x, series.expected, strict=True) if v is not None]
    parts = []
    if points:
        parts.append(f"<path class='line' stroke='{colour}' d='{_path(points, scale)}'/>")
    if len(theory) > 1:
        parts.append(f"<path class='theory' stroke='{colour}' d='{_path(theory, scale)}'/>")
    # Dots carry the values as tooltips; on long runs they would be a smear.
    if len(points) <= 60:
        parts += [
            f"<circle cx='{scale.x(x):.1f}' cy='{scale.y(v):.1f}' r='2.6' fill='{colour}'>"
            f"<title>{escape(series.name)}, {escape(x_label)} {x:g}: {v:.5g}</title></circle>"
            for x, v in points
        ]
    return "".join(parts)


def _rings(published: Sequence[PublishedPoint], scale: _Scale) -> list[str]:
    return [
        f"<circle class='published' cx='{scale.x(p.x):.1f}' cy='{scale.y(p.y):.1f}' r='5'>"
        f"<title>published: {p.y:.5g}{f' ± {p.spread:.3g}' if p.spread is not None else ''}</title></circle>"
        for p in published
    ]


def _end_labels(series: Sequence[Series], scale: _Scale, colours: dict[str, str]) -> list[str]:
    """Names at the line ends, pushed apart so that none covers another."""
    ends = []
    for s in series:
        if s.y:
            ends.append((scale.y(s.y[-1]), s.name))
    ends.sort()
    placed: list[float] = []
    for y, _ in ends:
        placed.append(max(y, placed[-1] + _LABEL_GAP) if placed else y)
    overflow = placed[-1] - (HEIGHT - _BOTTOM) if placed else 0.0
    if overflow > 0:
        placed = [y - overflow for y in placed]
    return [
        f"<text class='name' x='{scale.end + 8:.1f}' y='{y + 4:.1f}' style='fill:{colours[name]}'>{escape(name)}</text>"
        for y, (_, name) in zip(placed, ends, strict=True)
    ]
