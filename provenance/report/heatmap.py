"""A phase diagram as SVG: a shaded grid for each policy, the number and its band in every cell. Knows no catalog."""

from html import escape

from provenance.report.phase import Cell, Phase

_CELL_WIDTH, _CELL_HEIGHT, _GAP = 62, 40, 16
_LEFT, _TOP = 96, 24
_HEADER_LINE = 13
# From little to much, light to dark: read in grey as well as in colour.
_PALE, _DEEP = (222, 235, 247), (8, 69, 130)
_BEYOND = "#3b3b3b"


def heat_map(phase: Phase) -> str:
    """The diagram as an `<svg>` element; a sentence where there is nothing to draw."""
    if not phase.cells:
        return "<p class='empty'>nothing was measured</p>"
    lines = max((len(_lines(name)) for columns in phase.panels.values() for name in columns), default=0)
    top = _TOP + lines * _HEADER_LINE + 6
    height = top + len(phase.rows) * _CELL_HEIGHT + 8
    parts = [
        f"<text class='label' x='{_LEFT - 10}' y='{top - 8}' text-anchor='end'>{escape(phase.row_label)}</text>",
        *(
            f"<text class='tick' x='{_LEFT - 10}' y='{_middle(top, i) + 4}' text-anchor='end'>{escape(row)}</text>"
            for i, row in enumerate(phase.rows)
        ),
    ]
    x = _LEFT
    for policy, columns in phase.panels.items():
        parts.append(f"<text class='name' x='{x}' y='14'>{escape(policy)}</text>")
        for column in columns:
            for number, line in enumerate(_lines(column)):
                parts.append(
                    f"<text class='tick' x='{x + _CELL_WIDTH // 2}' y='{_TOP + (number + 1) * _HEADER_LINE}' "
                    f"text-anchor='middle'>{escape(line)}</text>"
                )
            for i, row in enumerate(phase.rows):
                cell = phase.cells.get((policy, row, column))
                if cell is not None:
                    parts += _drawn(cell, x, top + i * _CELL_HEIGHT, phase.largest, f"{policy}, {row}, {column}")
            x += _CELL_WIDTH
        # A policy's name may be longer than its one column is wide.
        x += _GAP + max(0, len(policy) * 7 - len(columns) * _CELL_WIDTH)
    title = escape(phase.title, quote=True)
    frame = f"viewBox='0 0 {x} {height}' style='max-width: {x}px' role='img' aria-label='{title}'"
    return f"<svg {frame}>{''.join(parts)}</svg>"


def _lines(column: str) -> list[str]:
    return column.split(", ") if column else []


def _middle(top: int, row: int) -> int:
    return top + row * _CELL_HEIGHT + _CELL_HEIGHT // 2


def _drawn(cell: Cell, x: int, y: int, largest: float, what: str) -> list[str]:
    """One rectangle, its number, and its band below."""
    beyond = cell.smallest is None
    depth = 1.0 if beyond else min((cell.smallest or 0.0) / (largest or 1.0), 1.0)
    fill = _BEYOND if beyond else f"rgb({', '.join(str(round(a + (b - a) * depth)) for a, b in _shades())})"
    ink = "#ffffff" if depth > 0.45 else "#10202e"
    number = f"&gt; {_percent(largest)}" if cell.smallest is None else _percent(cell.smallest)
    low = f"&gt; {_percent(largest)}" if cell.low is None else _percent(cell.low)
    high = f"&gt; {_percent(largest)}" if cell.high is None else _percent(cell.high)
    band = "" if low == high else f"{low} to {high}"
    across = x + (_CELL_WIDTH - 2) // 2
    return [
        _rectangle(x, y, fill, f"<title>{escape(what)}: {number} % ({low} to {high})</title>"),
        _text(across, y + (17 if band else 24), number, f"fill:{ink};font-weight:600"),
        _text(across, y + 31, band, f"fill:{ink};font-size:9px"),
    ]


def _rectangle(x: int, y: int, fill: str, inside: str) -> str:
    size = f"width='{_CELL_WIDTH - 2}' height='{_CELL_HEIGHT - 2}'"
    return f"<rect x='{x}' y='{y}' {size} rx='3' fill='{fill}'>{inside}</rect>"


def _text(x: int, y: int, content: str, style: str) -> str:
    return f"<text x='{x}' y='{y}' text-anchor='middle' style='{style}'>{content}</text>"


def _shades() -> list[tuple[int, int]]:
    return list(zip(_PALE, _DEEP, strict=True))


def _percent(share: float) -> str:
    return f"{100 * share:.2g}" if share < 0.995 else f"{100 * share:.0f}"
