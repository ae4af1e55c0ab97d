"""Which residues branch cuts join, and on which way, so that the cuts cost as little as they can.

Every residue must be balanced, by one of opposite charge or by the border. Each link that a cut may block has a price.
The cheapest cuts are a flow of least cost from the positive residues to the negative ones on the grid of corners
(Costantini 1998). It is found by the Hungarian method (Kuhn 1955) with a tree around every residue. Trees of both
charges grow at the same pace. Where two of them meet, or one meets the border, the flow along them is turned on. Trees
take the place of the usual searches from one residue at a time, so that few go over ground that others covered.

A corner has a potential, and a step between corners costs its price plus the difference of the potentials, never less
than nothing. A growing tree lowers (positive) or raises (negative) the potential of all its corners, until a step out
of it costs nothing and is taken. A step against the flow gives its price back, and costs nothing for that reason. When
all residues are balanced, prices and potentials prove that no cheaper cuts exist.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

# All that is known of a corner, in a quarter of a cache line. As long as the corner is in a tree, `potential` is what
# it would be if the tree had never grown: time takes charge · now off it.
_CORNER = np.dtype(
    [
        ("potential", np.int32),
        ("owner", np.int32),  # 1 + its tree
        ("follow", np.int32),  # the corner that the same tree captured before
        ("flow_right", np.int8),  # of cuts to the next corner right, less those back
        ("flow_down", np.int8),
        ("supply", np.int8),  # charge that is not balanced yet
        ("way", np.uint8),  # direction in which the tree came here; or _ROOT
    ]
)
_ROOT = 4
_BUCKETS = 512  # a power of two above what a step can cost: twice the highest price
# Residues grow in groups that lie together, because a group's corners fit into the processor's cache: edge of a group
# in pixels, and for how long. Whoever finds no partner in that time tries again in a larger group.
_ROUNDS = ((64, 48), (192, 192), (512, 512))
_ENDLESS = np.int64(2**30)  # NumPy's, since Numba compiles anew for a Python number that is handed on
_MOST_CAPTURES_PER_CORNER = 8  # 3 in the worst real hologram at hand


def balance(residues: NDArray[np.int32], price: NDArray[np.uint8]) -> tuple[NDArray[np.int8], NDArray[np.int8], bool]:
    """The flow of least cost that balances all residues.

    Args:
        residues: (n, 3) int32 rows (y, x, charge) as `find_residues` gives them.
        price: (2, H + 1, W + 1) uint8 as `price_links` gives it.

    Returns:
        (H, W) int8 and (H, W) int8: how many cuts block the link to a pixel's right neighbour, and to the one below.
        Cuts that pass the other way count −1. Last, whether the cost is the least. It is not where that would have
        taken too long: residues that were left then went to the border.
    """
    _, height, width = price.shape
    corners = height * width
    corner = np.zeros(corners, _CORNER)  # the memory of those that no tree reaches is never touched
    right, down = (np.zeros((height - 1, width - 1), np.int8) for _ in range(2))
    roots = ((residues[:, 0] + 1) * width + residues[:, 1] + 1).astype(np.int32)
    corner["supply"][roots] = residues[:, 2]
    ground = (price.reshape(2, -1), corner, right.reshape(-1), down.reshape(-1), width)
    for edge_px, duration in _ROUNDS:
        rows = roots // width
        tile = (rows // edge_px) * (width // edge_px + 1) + (roots - rows * width) // edge_px
        order = np.argsort(tile, kind="stable")
        roots, _ = _grow_groups(roots[order], tile[order], np.int64(duration), _ENDLESS, *ground)
    most = np.int64(_MOST_CAPTURES_PER_CORNER * corners)
    while len(roots) and most > 0:
        roots, captures = _grow_groups(roots, np.zeros_like(roots), _ENDLESS, most, *ground)
        most -= captures
    for root in roots:
        _lead_to_border(root, *ground)
    return right, down, len(roots) == 0


@numba.njit(nogil=True, cache=True)
def _grow_groups(roots, tile, duration, most_captures, price, corner, right, down, width):  # type: ignore[no-untyped-def]
    """Let each tile's residues grow, one tile after the other; the roots that are left, and the corners captured."""
    captures, start = np.int64(0), 0
    for end in range(1, len(roots) + 1):
        if end == len(roots) or tile[end] != tile[start]:
            captures += _grow(roots[start:end], duration, most_captures, price, corner, right, down, width)
            start = end
    left = np.empty_like(roots)
    count = 0
    for root in roots:
        if corner[root].supply != 0:
            left[count] = root
            count += 1
    return left[:count], captures


@numba.njit(inline="always", cache=True)
def _step(at, direction, price, corner, width):  # type: ignore[no-untyped-def]
    """The next corner right, left, below or above; the step's price, and the flow along it."""
    length = 1 if direction < 2 else width
    backwards = direction & 1
    first = at - length * backwards
    flow = np.int32(corner[first].flow_right if direction < 2 else corner[first].flow_down)
    return first + length * (1 - backwards), np.int32(price[direction >> 1, first]), flow * (1 - 2 * backwards)


@numba.njit(inline="always", cache=True)
def _send(at, direction, units, corner, right, down, width):  # type: ignore[no-untyped-def]
    """Add to the flow of a step; the corner it leads to."""
    length = 1 if direction < 2 else width
    backwards = direction & 1
    first = at - length * backwards
    units = units * (1 - 2 * backwards)
    # Between two corners of a row lies the link down from the pixel above, and likewise.
    pixel = first - width + 1 - first // width
    if direction < 2:
        corner[first].flow_right += units
        down[pixel] += units
    else:
        corner[first].flow_down += units
        right[pixel + width - 2] += units
    return first + length * (1 - backwards)


@numba.njit(inline="always", cache=True)
def _is_border(at, price):  # type: ignore[no-untyped-def]
    """Steps along the border have no price."""
    return price[0, at] == 0 or price[1, at] == 0


@numba.njit(cache=True)
def _plan(queue, newest, due, at, direction):  # type: ignore[no-untyped-def]
    """Put a step into the bucket of the time when it costs nothing.

    `queue` holds the planned steps: 4 · corner + direction, and the next of the same bucket, of which `newest` has the
    first. Its first row has the first place that is free again, and the number of places used.
    """
    place = queue[0, 0]
    if place >= 0:
        queue[0, 0] = queue[place, 1]
    else:
        queue[0, 1] += 1
        place = queue[0, 1]
    queue[place, 0] = 4 * at + direction
    queue[place, 1] = newest[due & (_BUCKETS - 1)]
    newest[due & (_BUCKETS - 1)] = place


@numba.njit(cache=True)
def _next_step(queue, newest, now):  # type: ignore[no-untyped-def]
    """Take a step that is due: where from, and the direction; (−1, 0) where none is."""
    place = newest[now & (_BUCKETS - 1)]
    if place < 0:
        return -1, 0
    newest[now & (_BUCKETS - 1)] = queue[place, 1]
    queue[place, 1], queue[0, 0] = queue[0, 0], place
    return queue[place, 0] >> 2, queue[place, 0] & 3


@numba.njit(nogil=True, cache=True)
def _grow(roots, duration, most_captures, price, corner, right, down, width):  # type: ignore[no-untyped-def]
    """Grow a tree around each root until all are balanced, or for so long; the corners captured."""
    trees = len(roots)
    charge, last = np.zeros(trees, np.int32), np.full(trees, -1, np.int32)  # last: the corner that a tree took last
    has_neighbours = np.zeros(trees, np.bool_)
    newest = np.full(_BUCKETS, -1, np.int32)
    queue = np.empty((1024, 2), np.int32)
    queue[0, 0], queue[0, 1] = -1, 0
    growing = _plant(roots, charge, last, corner)
    captures, now, begun = 0, np.int64(0), 0  # not a Python zero, for which Numba would compile all anew
    while growing > 0 and now < duration and captures < most_captures:
        if begun < trees:
            tree, at = begun, last[begun]
            begun += 1
            if at < 0:
                continue
        else:
            origin, direction = _next_step(queue, newest, now)
            if origin < 0:
                now += 1
                continue
            tree = corner[origin].owner - 1
            if tree < 0:
                continue  # it has stopped growing since
            at = _reach(origin, direction, now, charge, price, corner, width)
            if at < 0:
                continue
            other = corner[at].owner - 1
            if other >= 0 or _is_border(at, price) or charge[tree] * corner[at].supply < 0:
                growing -= 2 if other >= 0 else 1
                queue = _join(
                    origin,
                    direction,
                    now,
                    queue,
                    newest,
                    charge,
                    last,
                    has_neighbours,
                    price,
                    corner,
                    right,
                    down,
                    width,
                )
                continue
            corner[at].way = direction
            corner[at].potential += charge[tree] * now
            corner[at].owner, corner[at].follow = tree + 1, last[tree]
            last[tree] = at
        captures += 1
        if len(queue) < queue[0, 1] + 5:
            queue = np.concatenate((queue, np.empty_like(queue)))
        _look_around(tree, at, now, queue, newest, charge, has_neighbours, price, corner, width)
    for tree in range(trees):
        if last[tree] >= 0:
            _stop(tree, charge[tree], now, last, corner)
    return captures


@numba.njit(cache=True)
def _plant(roots, charge, last, corner):  # type: ignore[no-untyped-def]
    """Make each root the first corner of its tree; how many there are."""
    planted = 0
    for tree in range(len(roots)):
        at = roots[tree]
        if corner[at].supply != 0 and corner[at].owner == 0:
            charge[tree] = np.sign(corner[at].supply)
            corner[at].owner, corner[at].follow, corner[at].way = tree + 1, -1, _ROOT
            last[tree] = at
            planted += 1
    return planted


@numba.njit(cache=True)
def _reach(origin, direction, now, charge, price, corner, width):  # type: ignore[no-untyped-def]
    """The corner that a planned step leads to; −1 where the step is void."""
    at, cost, along = _step(origin, direction, price, corner, width)
    other = corner[at].owner - 1
    sign = charge[corner[origin].owner - 1]
    if other >= 0 and charge[other] == sign:
        return -1
    if sign * along < 0:
        return at
    grown = 2 * now if other >= 0 else now
    if cost + sign * (corner[origin].potential - corner[at].potential) > grown:
        return -1  # the potential has moved since, and another step is planned
    return at


@numba.njit(cache=True)
def _look_around(tree, at, now, queue, newest, charge, has_neighbours, price, corner, width):  # type: ignore[no-untyped-def]
    """Plan the steps out of a corner that a tree has just taken."""
    sign = charge[tree]
    for direction in range(4):
        target, cost, along = _step(at, direction, price, corner, width)
        other = corner[target].owner - 1
        if other == tree:
            continue
        if other >= 0:
            has_neighbours[tree] = has_neighbours[other] = True
            if charge[other] == sign:
                continue
        due = now
        if sign * along >= 0:
            wait = cost + sign * (corner[at].potential - corner[target].potential)
            due = now + max((wait - 2 * now) >> 1 if other >= 0 else wait - now, 0)
        _plan(queue, newest, due, at, direction)


@numba.njit(cache=True)
def _join(  # type: ignore[no-untyped-def]
    origin, direction, now, queue, newest, charge, last, has_neighbours, price, corner, right, down, width
):
    """Balance the roots of the two trees that a step joins, or of one that it leads out of; both stop growing."""
    tree = corner[origin].owner - 1
    at = _send(origin, direction, charge[tree], corner, right, down, width)
    other = corner[at].owner - 1
    if other < 0 and not _is_border(at, price):
        corner[at].supply += charge[tree]
    stopped, end = tree, origin
    for _ in range(2 if other >= 0 else 1):
        _balance_root(end, charge[stopped], corner, right, down, width)
        _stop(stopped, charge[stopped], now, last, corner)
        stopped, end = other, at
    stopped = tree
    for _ in range(2 if other >= 0 else 1):
        if has_neighbours[stopped]:
            queue = _offer(last[stopped], now, queue, newest, charge, price, corner, width)
        last[stopped] = -1
        stopped = other
    return queue


@numba.njit(cache=True)
def _offer(at, now, queue, newest, charge, price, corner, width):  # type: ignore[no-untyped-def]
    """Plan the steps by which the trees around take what a tree that stopped has left; the queue, which may grow."""
    while at >= 0:
        if len(queue) < queue[0, 1] + 5:
            queue = np.concatenate((queue, np.empty_like(queue)))
        for direction in range(4):
            origin, cost, along = _step(at, direction, price, corner, width)
            neighbour = corner[origin].owner - 1
            if neighbour >= 0:
                sign = charge[neighbour]
                wait = cost + sign * (corner[origin].potential - corner[at].potential) - now
                due = now if sign * along > 0 else now + max(wait, 0)
                _plan(queue, newest, due, origin, direction ^ 1)
        at = corner[at].follow
    return queue


@numba.njit(inline="always", cache=True)
def _balance_root(at, units, corner, right, down, width):  # type: ignore[no-untyped-def]
    """Send flow from the root of a tree to a corner of it."""
    while corner[at].way != _ROOT:
        at = _send(at, corner[at].way ^ 1, -units, corner, right, down, width)
    corner[at].supply -= units


@numba.njit(inline="always", cache=True)
def _stop(tree, sign, now, last, corner):  # type: ignore[no-untyped-def]
    """Let go of a tree's corners, with the potential that they have now."""
    at = last[tree]
    while at >= 0:
        corner[at].potential -= sign * now
        corner[at].owner = 0
        at = corner[at].follow


@numba.njit(nogil=True, cache=True)
def _lead_to_border(root, price, corner, right, down, width):  # type: ignore[no-untyped-def]
    """Balance a residue by the nearest border, straight along a row or a column of corners."""
    height = len(corner) // width
    y, x = root // width, root % width
    distances = (width - 1 - x, x, height - 1 - y, y)
    direction = 0
    for other in range(1, 4):
        if distances[other] < distances[direction]:
            direction = other
    units = corner[root].supply
    corner[root].supply = 0
    at = root
    for _ in range(distances[direction]):
        at = _send(at, direction, units, corner, right, down, width)
