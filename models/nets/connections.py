"""Which features feed which decoder stages: the search space and one point in it. Needs no torch."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

LEVELS = 8
_DRAWS = 10_000


@dataclass(frozen=True, slots=True, order=True)
class Connection:
    """One arrow of the paper's Fig. 3: from `source` (E1 … E8, G, D2 … D8) into decoder stage `target`, 1 … 8."""

    target: int
    source: str

    def __post_init__(self) -> None:
        if not 1 <= self.target <= LEVELS or self.source not in sources_of(self.target):
            raise ValueError(
                f"expected a connection from E1 … E8, G or a deeper D into D1 … D8, got {self.source} → D{self.target}"
            )

    @property
    def is_from_decoder(self) -> bool:
        """Whether the source is a deeper decoder stage."""
        return self.source.startswith("D")

    @property
    def source_level(self) -> int:
        """The level of the source; 9 for the ground feature, which is coarser than all."""
        return LEVELS + 1 if self.source == "G" else int(self.source[1:])

    @property
    def name(self) -> str:
        """A name that a torch module may have: `E2_D1`."""
        return f"{self.source}_D{self.target}"

    @classmethod
    def named(cls, name: str) -> Connection:
        """The connection that `name` (`E2_D1`) names."""
        source, _, target = name.partition("_D")
        if not target.isdecimal():
            raise ValueError(f"expected a connection such as E2_D1, got {name!r}")
        return cls(int(target), source)


def sources_of(level: int) -> tuple[str, ...]:
    """All features that may enter decoder stage `level`: every E, G, and the deeper decoder stages (Shu 2022 §2A)."""
    encoder = tuple(f"E{i}" for i in range(1, LEVELS + 1))
    return (*encoder, "G", *(f"D{j}" for j in range(level + 1, LEVELS + 1)))


ALL_CONNECTIONS = tuple(Connection(level, source) for level in range(1, LEVELS + 1) for source in sources_of(level))
"""The super-net's 100 connections."""

SPARSEMASK_CONNECTIONS = tuple(
    connection
    for connection in ALL_CONNECTIONS
    if connection.is_from_decoder or connection.source_level >= connection.target
)
"""SparseMask's smaller space, as Shu 2022 §1 tells it: an encoder feature enters only its own and shallower stages."""


def live_connections(connections: Iterable[Connection]) -> tuple[Connection, ...]:
    """Pruning rules (ii) and (iii) of Shu 2022 §2C, until neither applies: drop stages without input, and stages that
    no other stage uses.

    Raises:
        ValueError: nothing reaches D1, so nothing is left.
    """
    kept = set(connections)
    while True:
        fed = {connection.target for connection in kept}
        used = {1} | {connection.source_level for connection in kept if connection.is_from_decoder}
        dead = {
            connection
            for connection in kept
            if connection.target not in used or (connection.is_from_decoder and connection.source_level not in fed)
        }
        if not dead:
            break
        kept -= dead
    if not kept:
        raise ValueError("expected a path from the encoder to D1, got connections that leave none; lower the threshold")
    return tuple(sorted(kept))


def random_connections(count: int, seed: int) -> tuple[Connection, ...]:
    """`count` connections drawn at random such that no pruning rule applies to them: what a searched set must beat.

    Sets are drawn from all connections, pruned, and the first that has the size is taken.

    Raises:
        ValueError: no such size was met.
    """
    impossible = f"expected a count of which random sets exist, 1 … {len(ALL_CONNECTIONS)}, got {count}"
    if not 1 <= count <= len(ALL_CONNECTIONS):
        raise ValueError(impossible)
    rng = np.random.default_rng([seed, count])
    for _ in range(_DRAWS):
        drawn = int(rng.integers(count, len(ALL_CONNECTIONS) + 1))
        chosen = rng.choice(len(ALL_CONNECTIONS), drawn, replace=False)
        try:
            live = live_connections(ALL_CONNECTIONS[index] for index in chosen)
        except ValueError:
            continue
        if len(live) == count:
            return live
    raise ValueError(impossible)


def save_connections(path: Path, connections: Iterable[Connection], origin: dict[str, object]) -> None:
    """Write a connection set as JSON; `origin` says where it came from (search run, threshold, weights)."""
    ordered = sorted(connections)
    document = {
        "format": "qpi connections 1",
        "count": len(ordered),
        "connections": [connection.name for connection in ordered],
        **origin,
    }
    path.write_text(json.dumps(document, indent=1) + "\n")


def load_connections(path: Path) -> tuple[Connection, ...]:
    """Read what `save_connections` wrote.

    Raises:
        ValueError: the file is something else, or its connections leave dead stages.
    """
    document = json.loads(path.read_text())
    if not isinstance(document, dict) or document.get("format") != "qpi connections 1":
        raise ValueError(f"expected a connections file written by `qpi prune`, got {path}")
    connections = tuple(Connection.named(name) for name in document["connections"])
    if live_connections(connections) != tuple(sorted(connections)):
        raise ValueError(
            f"expected connections that all reach D1, got dead stages in {path}; write it with `qpi prune`"
        )
    return connections
