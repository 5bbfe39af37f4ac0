"""Charts as inline SVG; the page's style sheet colours them."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from markupsafe import Markup

from eval.report.figures import RecallFigure, Reliability, RiskFigure
from eval.stats.estimate import Estimate

_NOTHING = Markup("")
MARKERS = 6  # colours and marker shapes in the style sheet
_WIDTH, _HEIGHT = 420.0, 280.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 58.0, 10.0, 10.0, 44.0
_FIRST = 0.05  # the share of the answers before which a risk says little
_ALL_MARKED = 12  # a curve of so many points has a marker on each


class Plane:
    """The plane of a chart: converts values to pixels and draws axes."""

    def __init__(
        self,
        x: tuple[float, float],
        y: tuple[float, float],
        size: tuple[float, float] = (_WIDTH, _HEIGHT),
        left: float = _LEFT,
    ) -> None:
        """A plane that shows the ranges ``x`` and ``y``, the axes' names and numbers included in ``size``."""
        self.size = size
        self._x, self._y = x, y
        self._left, self._right = left, size[0] - _RIGHT
        self._top, self._bottom = _TOP, size[1] - _BOTTOM

    def x(self, value: float) -> float:
        """Pixels from the left."""
        low, high = self._x
        return self._left + (value - low) / (high - low) * (self._right - self._left)

    def y(self, value: float) -> float:
        """Pixels from the top."""
        low, high = self._y
        return self._bottom - (value - low) / (high - low) * (self._bottom - self._top)

    def point(self, x: float, y: float) -> str:
        """A point in the syntax of paths."""
        return f"{self.x(x):.1f},{self.y(y):.1f}"

    def axes(self, x_name: str, y_name: str, x_ticks: Sequence[float], y_ticks: Sequence[float]) -> Markup:
        """Grid lines, numbers and names."""
        parts = []
        for tick in y_ticks:
            y = self.y(tick)
            parts.append(_line("grid", self._left, y, self._right, y))
            parts.append(_text(_number(tick), self._left - 7, y + 4, "tick end"))
        for tick in x_ticks:
            parts.append(_text(_number(tick), self.x(tick), self._bottom + 17, "tick middle"))
        parts.append(_line("axis", self._left, self._bottom, self._right, self._bottom))
        parts.append(_text(x_name, (self._left + self._right) / 2, self.size[1] - 6, "name middle"))
        middle = (self._top + self._bottom) / 2
        turned = Markup(' transform="rotate(-90 11 {:.1f})"').format(middle)
        parts.append(_text(y_name, 11, middle, "name middle", turned))
        return Markup("").join(parts)


def interval_mark(estimate: Estimate, published: float | None = None) -> Markup:
    """A figure between 0 and 1 as a point with its interval, as wide as its place; a published one as a tick."""

    def x(value: float) -> str:
        return f"{min(max(value, 0.0), 1.0):.1%}"

    across = Markup('<line class="{}" x1="{}" x2="{}" y1="50%" y2="50%"/>')
    down = Markup('<line class="{}" x1="{}" x2="{}" y1="{}" y2="{}"/>')
    parts = [across.format("track", "0%", "100%")]
    parts += [down.format("track", x(tick), x(tick), "35%", "65%") for tick in (0.0, 0.5, 1.0)]
    if published is not None:
        parts.append(down.format("published", x(published), x(published), "5%", "95%"))
    if estimate.low is not None and estimate.high is not None:
        parts.append(across.format("whisker", x(estimate.low), x(estimate.high)))
    parts.append(Markup('<circle class="dot" cx="{}" cy="50%" r="3.5"/>').format(x(estimate.value)))
    return Markup('<svg class="mark" aria-hidden="true">{}</svg>').format(Markup("").join(parts))


def recall_chart(figure: RecallFigure) -> Markup:
    """Recall by k, with each curve's 95% intervals as a band."""
    lows = [point.low if point.low is not None else point.value for curve in figure.curves for point in curve.points]
    floor = min(int(min(lows) * 10) / 10, 0.9)
    depth = max(len(curve.points) for curve in figure.curves)
    plane = Plane((1, depth), (floor, 1))
    parts = [plane.axes("k: passages looked at", "recall@k", range(1, depth + 1), _steps(floor, 1))]
    for place, curve in enumerate(figure.curves):
        steps = list(enumerate(curve.points, start=1))
        if all(point.low is not None and point.high is not None for point in curve.points):
            upper = [plane.point(k, point.high or 0.0) for k, point in steps]
            lower = [plane.point(k, point.low or 0.0) for k, point in reversed(steps)]
            parts.append(Markup('<path class="band s{}" d="M{}Z"/>').format(place % MARKERS, "L".join(upper + lower)))
    for place, curve in enumerate(figure.curves):
        steps = list(enumerate(curve.points, start=1))
        points = [(float(k), point.value, f"{curve.name}: recall@{k} {with_interval(point)}") for k, point in steps]
        parts.append(_curve(plane, place, points))
    return _svg(plane, f"Recall at k of {_listed([c.name for c in figure.curves])}, n = {figure.n}", parts)


def risk_chart(figure: RiskFigure) -> Markup:
    """Risk by coverage, with a dashed line at the risk of all answers where the curves share it.

    Over the first few answers risk is mostly chance; values above the maximum of the rest are drawn at the upper edge.
    """
    overall = figure.curves[0].points[-1].risk
    settled = [p.risk for curve in figure.curves for p in curve.points if p.coverage >= _FIRST or p.coverage == 1]
    top = max(0.1, *settled)
    top = next(step for step in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0) if top <= step)
    plane = Plane((0, 1), (0, top))
    axes = ("coverage: share of the answers given", "risk: share of them wrong")
    parts = [plane.axes(*axes, _steps(0, 1), _steps(0, top))]
    if len({curve.points[-1].risk for curve in figure.curves}) == 1:
        parts.append(_line("reference", plane.x(0), plane.y(overall), plane.x(1), plane.y(overall)))
    for place, curve in enumerate(figure.curves):
        tooltip = [
            (p.coverage, min(p.risk, top), f"{curve.name}: {p.coverage:.0%} given, {p.risk:.1%} of them wrong")
            for p in curve.points
        ]
        parts.append(_curve(plane, place, tooltip, stepped=True))
    return _svg(plane, f"Risk by coverage of {_listed([c.name for c in figure.curves])}", parts)


def reliability_chart(figure: Reliability) -> Markup:
    """Accuracy by confidence with intervals, the diagonal of perfect calibration, and the bins' sizes below."""
    plane = Plane((0, 1), (0, 1), (240, 250), left=50)
    parts = [plane.axes("confidence", "accuracy", _steps(0, 1), _steps(0, 1))]
    largest = max(each.n for each in figure.bins)
    for each in figure.bins:
        height = 0.18 * each.n / largest
        parts.append(
            Markup('<rect class="count" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
                plane.x(each.low) + 0.5,
                plane.y(height),
                plane.x(each.high) - plane.x(each.low) - 1,
                plane.y(0) - plane.y(height),
            )
        )
    parts.append(_line("reference", plane.x(0), plane.y(0), plane.x(1), plane.y(1)))
    for each in figure.bins:
        x = plane.x(each.confidence)
        accuracy = each.accuracy
        if accuracy.low is not None and accuracy.high is not None:
            parts.append(_line("error s0", x, plane.y(accuracy.low), x, plane.y(accuracy.high)))
        tooltip = f"confidence {each.confidence:.2f}: accuracy {with_interval(accuracy)}, n = {each.n}"
        parts.append(_marker(0, x, plane.y(accuracy.value), tooltip))
    return _svg(plane, f"Reliability of {figure.task}, {figure.run}, n = {figure.n}", parts, "small")


def legend_key(place: int) -> Markup:
    """The legend's sign of the curve number ``place``."""
    return Markup('<svg class="key" viewBox="0 0 30 12" aria-hidden="true">{}{}</svg>').format(
        Markup('<path class="curve s{}" d="M1,6L29,6"/>').format(place % MARKERS), _marker(place % MARKERS, 15, 6)
    )


def _curve(plane: Plane, place: int, points: Sequence[tuple[float, float, str]], *, stepped: bool = False) -> Markup:
    """A line with markers; ``points`` are x, y and the tooltip."""
    style = place % MARKERS
    path = [plane.point(*points[0][:2])]
    for (_, before, _), (x, y, _) in pairwise(points):
        path += [plane.point(x, before)] if stepped and before != y else []
        path.append(plane.point(x, y))
    parts = [Markup('<path class="curve s{}" d="M{}"/>').format(style, "L".join(path))]
    every = 1 if len(points) <= _ALL_MARKED else len(points) // (_ALL_MARKED // 2)
    for number, (x, y, tooltip) in enumerate(points):
        if number % every == 0 or number == len(points) - 1:
            parts.append(_marker(style, plane.x(x), plane.y(y), tooltip))
    return Markup("").join(parts)


def _marker(style: int, x: float, y: float, tooltip: str = "") -> Markup:
    """One of six shapes, so that curves differ by more than colour."""
    shapes = (
        "M{0:.1f},{1:.1f}m-3.4,0a3.4,3.4 0 1 0 6.8,0a3.4,3.4 0 1 0 -6.8,0Z",
        "M{0:.1f},{1:.1f}m-3.2,-3.2h6.4v6.4h-6.4Z",
        "M{0:.1f},{1:.1f}m0,-4.3l4,7h-8Z",
        "M{0:.1f},{1:.1f}m0,-4.4l4.4,4.4l-4.4,4.4l-4.4,-4.4Z",
        "M{0:.1f},{1:.1f}m0,4.3l4,-7h-8Z",
        "M{0:.1f},{1:.1f}m-1.3,-4h2.6v2.7h2.7v2.6h-2.7v2.7h-2.6v-2.7h-2.7v-2.6h2.7Z",
    )
    title = Markup("<title>{}</title>").format(tooltip) if tooltip else Markup("")
    return Markup('<path class="marker s{}" d="{}">{}</path>').format(style, shapes[style].format(x, y), title)


def _svg(plane: Plane, label: str, parts: Sequence[Markup], size: str = "wide") -> Markup:
    return Markup('<svg class="chart {}" viewBox="0 0 {:.0f} {:.0f}" role="img" aria-label="{}">{}</svg>').format(
        size, *plane.size, label, Markup("").join(parts)
    )


def _line(style: str, x1: float, y1: float, x2: float, y2: float) -> Markup:
    return Markup('<path class="{}" d="M{:.1f},{:.1f}L{:.1f},{:.1f}"/>').format(style, x1, y1, x2, y2)


def _text(text: str, x: float, y: float, style: str, more: Markup = _NOTHING) -> Markup:
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}"{}>{}</text>').format(style, x, y, more, text)


def _steps(low: float, high: float) -> list[float]:
    """About five round numbers from ``low`` to ``high``."""
    return list(_spaced(low, high, next(s for s in (0.02, 0.05, 0.1, 0.2) if (high - low) / s <= 5.01)))


def _spaced(low: float, high: float, step: float) -> Iterator[float]:
    for number in range(round((high - low) / step) + 1):
        yield round(low + number * step, 10)


def _number(value: float) -> str:
    return f"{value:g}"


def with_interval(estimate: Estimate) -> str:
    """The figure and its interval in brackets, where it has one."""
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} ({estimate.low:.3f}\u2013{estimate.high:.3f})"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
