"""From times to figures: medians and quartiles, ratios within rounds, the roofline."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .machine import level_of
from .peers import OURS, PEERS
from .rounds import TOLERANCE, Measured
from .rows import Row


class Spread(NamedTuple):
    """The quartiles of some values."""

    low: float
    median: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """The quartiles, by linear interpolation as NumPy has them."""
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    return Spread(*statistics.quantiles(values, n=4, method="inclusive"))


def ratios(slower: Sequence[float], faster: Sequence[float]) -> Spread:
    """How many times as long the first took, round by round."""
    return spread([a / b for a, b in zip(slower, faster, strict=True)])


def geometric_mean(values: Iterable[float]) -> float:
    """The geometric mean; NaN of nothing."""
    logarithms = [math.log(value) for value in values]
    return math.exp(statistics.fmean(logarithms)) if logarithms else math.nan


def speed(result: Measured, name: str) -> Spread:
    """GFLOP/s of a library."""
    operations = Row.parse(result.row).operations(result.mode)
    return spread([operations / seconds / 1e9 for seconds in result.seconds[name]])


def agrees(result: Measured, name: str) -> bool:
    """Whether a library's outputs are those of float32."""
    return result.deviations[name] <= TOLERANCE


def best_peer(result: Measured) -> str | None:
    """The peer with the least median, of those that calculate in float32 and agree with us."""
    peers = [name for name in result.seconds
             if name not in OURS and PEERS[name].exact and agrees(result, name)]
    return min(peers, key=lambda name: statistics.median(result.seconds[name]), default=None)


def ratio(result: Measured, name: str) -> Spread:
    """How many times as fast as a peer we are."""
    return ratios(result.seconds[name], result.seconds["rnncore"])


def share_of_peak(result: Measured) -> Spread | None:
    """Our FLOP/s in those of the probe in the same round; None without probes."""
    if not result.probes:
        return None
    operations = Row.parse(result.row).operations(result.mode)
    return spread([operations / seconds / probe["peak"] for seconds, probe
                   in zip(result.seconds["rnncore"], result.probes, strict=True)])


def roofline(row: Row, mode: str, threads: int, probe: dict[str, float],
             sizes: dict[str, int]) -> float:
    """The least seconds there can be: all operations at the peak, or the recurrent weights of
    every step out of the cache that they fit into, each thread having its part of them.
    """
    level = level_of(row.weight_bytes() / threads, sizes)
    return max(row.operations(mode) / probe["peak"], row.bytes_read(mode) / probe[level])


def share_of_roofline(result: Measured, sizes: dict[str, int]) -> Spread | None:
    """The least seconds there can be in those we took; None without probes."""
    if not result.probes:
        return None
    row = Row.parse(result.row)
    return spread([roofline(row, result.mode, result.threads, probe, sizes) / seconds
                   for seconds, probe
                   in zip(result.seconds["rnncore"], result.probes, strict=True)])


class Scaling(NamedTuple):
    """What more threads are worth, in the same rounds."""

    row: str
    mode: str
    threads: int
    ours: Spread
    machine: Spread | None  # the same for the FMA peak


def scalings(results: Iterable[Measured]) -> list[Scaling]:
    """Our times on the fewest threads in those on more, for every row that has both."""
    scaled: list[Scaling] = []
    fewest: dict[tuple[str, str], Measured] = {}
    for result in sorted(results, key=lambda result: result.threads):
        one = fewest.setdefault((result.row, result.mode), result)
        if one is not result:
            peaks = [[probe["peak"] for probe in found.probes] for found in (result, one)]
            machine = ratios(*peaks) if all(peaks) else None
            scaled.append(Scaling(result.row, result.mode, result.threads,
                                  ratios(one.seconds["rnncore"], result.seconds["rnncore"]),
                                  machine))
    return scaled
