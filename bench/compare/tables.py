"""The results as Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from . import summary
from .peers import PEERS
from .rounds import Measured
from .summary import Spread

DISTURBED = 0.02  # of a turn; on a quiet machine it is far less


def times(value: float) -> str:
    """A ratio, as 1.23x."""
    return f"{value:.2f}x"


def with_quartiles(found: Spread, form: str) -> str:
    """The median and in parentheses the quartiles."""
    low, median, high = (format(value, form) for value in found)
    return f"{median} ({low}-{high})"


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table; the first row is its head, and columns after the first are right-aligned."""
    rule = ["---", *["--:"] * (len(rows[0]) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [rows[0], rule, *rows[1:]])


def in_groups(results: Iterable[Measured]) -> dict[tuple[str, int], list[Measured]]:
    """The results of each mode and number of threads."""
    found: dict[tuple[str, int], list[Measured]] = {}
    for result in results:
        found.setdefault((result.mode, result.threads), []).append(result)
    return dict(sorted(found.items()))


def libraries(results: Iterable[Measured]) -> list[str]:
    """The libraries that were measured, in the order of `PEERS`, without rnncore itself."""
    measured = {name for result in results for name in result.seconds}
    return [name for name in PEERS if name in measured and name != "rnncore"]


def speed_table(results: Sequence[Measured], sizes: dict[str, int]) -> str:
    """GFLOP/s and ratios of one mode and number of threads; their geometric means below."""
    others = libraries(results)
    table = [["", "rnncore", "of peak", "of roofline", *others, "best peer", "ratio to it"]]
    table += [_speed_row(result, others, sizes) for result in results]
    means = [times(summary.geometric_mean(
        summary.ratio(result, name).median for result in results if name in result.seconds))
        for name in others]
    best = [summary.ratio(result, name).median for result in results
            if (name := summary.best_peer(result))]
    mean = times(summary.geometric_mean(best)) if best else ""
    return markdown([*table, ["geometric mean", "", "", "", *means, "", mean]])


def _speed_row(result: Measured, others: Sequence[str], sizes: dict[str, int]) -> list[str]:
    shares = [summary.share_of_peak(result), summary.share_of_roofline(result, sizes)]
    cells = [_peer_cell(result, name, format(summary.speed(result, name).median, ".0f"))
             if name in result.seconds else "" for name in others]
    return [result.row, with_quartiles(summary.speed(result, "rnncore"), ".0f"),
            *("" if share is None else f"{share.median:.2f}" for share in shares),
            *cells, *_against_best(result)]


def step_table(results: Sequence[Measured]) -> str:
    """Microseconds of a step, and ratios."""
    others = libraries(results)
    table = [["", "rnncore, us", *others, "best peer", "ratio to it"]]
    for result in results:
        cells = [_peer_cell(result, name,
                            format(1e6 * statistics.median(result.seconds[name]), ".2f"))
                 if name in result.seconds else "" for name in others]
        ours = summary.spread([1e6 * seconds for seconds in result.seconds["rnncore"]])
        table.append([result.row, with_quartiles(ours, ".2f"), *cells, *_against_best(result)])
    return markdown(table)


def _peer_cell(result: Measured, name: str, figure: str) -> str:
    """A figure and our ratio to it; a star where the outputs are not ours."""
    star = "" if summary.agrees(result, name) else "*"
    return f"{figure}{star}, {times(summary.ratio(result, name).median)}"


def _against_best(result: Measured) -> list[str]:
    best = summary.best_peer(result)
    if best is None:
        return ["", ""]
    return [best, with_quartiles(summary.ratio(result, best), ".2f")]


def scaling_table(results: Iterable[Measured]) -> str:
    """What more threads are worth; empty where there was one number of threads."""
    table = [["", "threads", "speed-up", "of the FMA peak", "share"]]
    for found in summary.scalings(results):
        machine = ["", ""] if found.machine is None else [
            times(found.machine.median), f"{found.ours.median / found.machine.median:.2f}"]
        table.append([f"{found.row}, {found.mode}", str(found.threads),
                      with_quartiles(found.ours, ".2f"), *machine])
    return markdown(table) if len(table) > 1 else ""


def remarks(results: Iterable[Measured]) -> list[str]:
    """What did not agree, and what failed."""
    lines = []
    worst: dict[str, float] = {}
    for result in results:
        for name, found in result.deviations.items():
            if not summary.agrees(result, name):
                worst[name] = max(found, worst.get(name, 0))
        lines += [f"{result.row}, {result.mode}: {text}" for text in result.failures.values()]
    return [f"* {name}: outputs differ from ours by up to {found:.1e} of the largest"
            for name, found in worst.items()] + lines


def machine_lines(machine: dict[str, Any], results: Sequence[Measured]) -> list[str]:
    """The processor and what the probes found."""
    sizes = ", ".join(f"{level} {size // 1024} KiB"
                      for level, size in machine["caches"].items())
    lines = [f"{machine['processor']}; {sizes}; {machine['date']}; {machine['rounds']} rounds"]
    for threads in sorted({result.threads for result in results}):
        probes = [p for result in results if result.threads == threads for p in result.probes]
        if probes:
            rates = {key: statistics.median(p[key] for p in probes) / 1e9 for key in probes[0]}
            peak = rates.pop("peak")
            lines.append(f"threads: {threads}: FMA peak {peak:.0f} GFLOP/s; " + ", ".join(
                f"{level} {rate:.0f} GB/s" for level, rate in rates.items()))
    if waits := [wait for result in results for turn in result.waits.values() for wait in turn]:
        disturbed = statistics.fmean(wait > DISTURBED for wait in waits)
        lines.append(f"{disturbed:.0%} of the turns waited for a CPU for more than "
                     f"{DISTURBED:.0%} of their time")
    return lines


def document(machine: dict[str, Any], results: Sequence[Measured]) -> str:
    """Everything: the machine, what ran, and the tables."""
    text = ["\n".join(f"* {line}" for line in [
        *machine_lines(machine, results),
        *(f"{name}: {ran}" for name, ran in machine["libraries"].items())])]
    for (mode, threads), group in in_groups(results).items():
        head = f"{mode}, {threads} thread{'s' * (threads > 1)}"
        text.append(f"### {head[0].upper()}{head[1:]}")
        text.append(step_table(group) if mode == "step"
                    else speed_table(group, machine["caches"]))
    if scaling := scaling_table(results):
        text += ["### Threads", scaling]
    return "\n\n".join([*text, *remarks(results)]) + "\n"


