"""Connection sets: pruning's graph rules and their file."""

from pathlib import Path

import pytest
from qpi_live.models.nets.connections import (
    ALL_CONNECTIONS,
    Connection,
    live_connections,
    load_connections,
    random_connections,
    save_connections,
)


def named(*names: str) -> tuple[Connection, ...]:
    return tuple(sorted(Connection.named(name) for name in names))


@pytest.mark.parametrize("name", ["E9_D1", "D1_D1", "D2_D3", "E1_D9", "E1", "X_D1", "E1_Dx"])
def test_connection_impossible_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="expected a connection"):
        Connection.named(name)


def test_live_connections_stage_without_input_is_dropped_with_what_it_fed() -> None:
    assert live_connections(named("E1_D1", "D2_D1", "D3_D2")) == named("E1_D1")


def test_live_connections_stage_that_nothing_uses_is_dropped_with_what_fed_it() -> None:
    assert live_connections(named("E1_D1", "E4_D4", "D5_D4", "E5_D5")) == named("E1_D1")


def test_live_connections_full_space_loses_nothing() -> None:
    assert live_connections(ALL_CONNECTIONS) == tuple(sorted(ALL_CONNECTIONS))


def test_live_connections_without_a_path_to_the_output_is_an_error() -> None:
    with pytest.raises(ValueError, match="path from the encoder to D1"):
        live_connections(named("E4_D4"))


@pytest.mark.parametrize("count", [1, 12, 39])
def test_random_connections_are_a_live_set_of_the_size_asked_and_follow_the_seed(count: int) -> None:
    drawn = random_connections(count, seed=3)
    assert len(drawn) == count
    assert live_connections(drawn) == drawn
    assert random_connections(count, seed=3) == drawn
    assert len({random_connections(count, seed) for seed in range(6)}) > 1


def test_random_connections_of_an_impossible_size_are_refused() -> None:
    with pytest.raises(ValueError, match="1 … 100, got 101"):
        random_connections(101, seed=0)


def test_connections_file_written_and_read_is_the_same_set(tmp_path: Path) -> None:
    chosen = named("E1_D1", "D2_D1", "E2_D2", "G_D2")
    save_connections(tmp_path / "c.json", chosen, {"threshold": 0.5})
    assert load_connections(tmp_path / "c.json") == chosen


def test_connections_file_with_dead_stages_is_refused(tmp_path: Path) -> None:
    save_connections(tmp_path / "c.json", named("E1_D1", "E4_D4"), {})
    with pytest.raises(ValueError, match="dead stages"):
        load_connections(tmp_path / "c.json")
