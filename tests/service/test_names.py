"""Host names and origins as people write them."""

from __future__ import annotations

import pytest
from qpi_live.service.names import host_name, is_loopback, origin


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("Lab.Example", "lab.example"),
        ("lab:8000", "lab"),
        ("http://lab", "lab"),
        ("https://lab:8443/", "lab"),
        ("lab.example.", "lab.example"),
        ("192.168.1.7:8000", "192.168.1.7"),
        ("::1", "::1"),
        ("[fe80::1]:8000", "fe80::1"),
        (" micro_scope-2 ", "micro_scope-2"),
    ],
)
def test_host_name_of_what_people_write_is_what_browsers_send(written: str, name: str) -> None:
    assert host_name(written) == name


@pytest.mark.parametrize("written", ["", " ", "*", "*.lab", "lab/page", "http://", "la b", "a,b", "lab:port", "u@lab"])
def test_host_name_of_anything_else_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="expected a host name such as"):
        host_name(written)


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("http://Lab:3000/", "http://lab:3000"),
        ("http://lab:80", "http://lab"),
        ("https://lab:443", "https://lab"),
        ("https://lab:80", "https://lab:80"),
        ("http://[::1]:3000", "http://[::1]:3000"),
    ],
)
def test_origin_of_what_people_write_is_what_browsers_send(written: str, sent: str) -> None:
    assert origin(written) == sent


@pytest.mark.parametrize("written", ["", "*", "null", "lab:3000", "ftp://lab", "http://lab/app", "http://", "http://*"])
def test_origin_of_anything_else_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="expected a web origin such as"):
        origin(written)


def test_loopback_is_what_only_this_machine_reaches() -> None:
    assert [is_loopback(name) for name in ("localhost", "127.0.0.1", "127.8.0.1", "::1")] == [True] * 4
    assert [is_loopback(name) for name in ("0.0.0.0", "::", "192.168.1.7", "lab")] == [False] * 4
