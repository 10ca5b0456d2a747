"""Line charts as SVG text: one line per series, a band behind it, labels at the line ends. Knows numbers alone.

No plotting library: a line chart is two hundred lines of arithmetic, and the report stays one small file that opens
without a network.
"""

import math
from collections.abc import Sequence
from html import escape

from provenance.report.collect import Chart, Series

WIDTH, HEIGHT = 560, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 120, 14, 42
# Okabe and Ito's palette: told apart by readers with any kind of colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8A6D00", "#555555")
_LABEL_GAP = 13.0


def line_chart(chart: Chart, colours: dict[str, str]) -> str:
    """The chart as an `<svg>` element; a sentence where there is nothing to draw."""
    points = [(x, v) for s in chart.series for x, v in zip(s.x, s.y, strict=True) if math.isfinite(v)]
    if not points:
        return "<p class='empty'>no finite values</p>"
    low = min(v for s in chart.series for v in (*s.low, *s.y, *_known(s)) if math.isfinite(v))
    high = max(v for s in chart.series for v in (*s.high, *s.y, *_known(s)) if math.isfinite(v))
    scale = _Scale(min(p[0] for p in points), max(p[0] for p in points), low, high)
    parts = [
        f"<svg viewBox='0 0 {WIDTH} {HEIGHT}' role='img' aria-label='{escape(chart.title, quote=True)} by generation'>",
        *_axes(scale, chart),
        *(_band(s, scale, colours[s.name]) for s in chart.series),
        *(_line(s, scale, colours[s.name]) for s in chart.series),
        *_end_labels(chart.series, scale, colours),
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


class _Scale:
    """Data to pixels."""

    def __init__(self, x_low: float, x_high: float, y_low: float, y_high: float) -> None:
        pad = (y_high - y_low) * 0.06 or abs(y_high) * 0.05 or 1.0
        self.x_low, self.x_high = x_low, x_high if x_high > x_low else x_low + 1
        self.y_low, self.y_high = y_low - pad, y_high + pad

    def x(self, value: float) -> float:
        return _LEFT + (value - self.x_low) / (self.x_high - self.x_low) * (WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        return HEIGHT - _BOTTOM - (value - self.y_low) / (self.y_high - self.y_low) * (HEIGHT - _TOP - _BOTTOM)


def _known(series: Series) -> list[float]:
    return [v for v in series.expected if v is not None]


def _axes(scale: _Scale, chart: Chart) -> list[str]:
    parts = []
    for value in ticks(scale.y_low, scale.y_high):
        y = scale.y(value)
        parts.append(f"<line class='grid' x1='{_LEFT}' x2='{WIDTH - _RIGHT}' y1='{y:.1f}' y2='{y:.1f}'/>")
        parts.append(f"<text class='tick' x='{_LEFT - 6}' y='{y + 4:.1f}' text-anchor='end'>{value:.4g}</text>")
    for value in ticks(scale.x_low, scale.x_high, 8):
        if value == int(value):
            x = scale.x(value)
            parts.append(
                f"<text class='tick' x='{x:.1f}' y='{HEIGHT - _BOTTOM + 17}' text-anchor='middle'>{value:g}</text>"
            )
    middle = (_LEFT + WIDTH - _RIGHT) / 2
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
    upper = [(x, v) for x, v in zip(series.x, series.high, strict=True) if math.isfinite(v)]
    lower = [(x, v) for x, v in zip(series.x, series.low, strict=True) if math.isfinite(v)]
    if len(upper) < 2 or not lower:
        return ""
    return f"<path class='band' fill='{colour}' d='{_path([*upper, *reversed(lower)], scale)}Z'/>"


def _line(series: Series, scale: _Scale, colour: str) -> str:
    points = [(x, v) for x, v in zip(series.x, series.y, strict=True) if math.isfinite(v)]
    theory = [(x, v) for x, v in zip(series.x, series.expected, strict=True) if v is not None and math.isfinite(v)]
    parts = []
    if points:
        parts.append(f"<path class='line' stroke='{colour}' d='{_path(points, scale)}'/>")
    if len(theory) > 1:
        parts.append(f"<path class='theory' stroke='{colour}' d='{_path(theory, scale)}'/>")
    # Dots carry the values as tooltips; on long runs they would be a smear.
    if len(points) <= 60:
        parts += [
            f"<circle cx='{scale.x(x):.1f}' cy='{scale.y(v):.1f}' r='2.6' fill='{colour}'>"
            f"<title>{escape(series.name)}, generation {x:g}: {v:.5g}</title></circle>"
            for x, v in points
        ]
    return "".join(parts)


def _end_labels(series: Sequence[Series], scale: _Scale, colours: dict[str, str]) -> list[str]:
    """Names at the line ends, pushed apart so that none covers another."""
    ends = []
    for s in series:
        finite = [(x, v) for x, v in zip(s.x, s.y, strict=True) if math.isfinite(v)]
        if finite:
            ends.append((scale.y(finite[-1][1]), s.name))
    ends.sort()
    placed: list[float] = []
    for y, _ in ends:
        placed.append(max(y, placed[-1] + _LABEL_GAP) if placed else y)
    overflow = placed[-1] - (HEIGHT - _BOTTOM) if placed else 0.0
    if overflow > 0:
        placed = [y - overflow for y in placed]
    return [
        f"<text class='name' x='{WIDTH - _RIGHT + 8}' y='{y + 4:.1f}' style='fill:{colours[name]}'>"
        f"{escape(name)}</text>"
        for y, (_, name) in zip(placed, ends, strict=True)
    ]
