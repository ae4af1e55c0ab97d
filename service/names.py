"""Names of machines and of web origins as people write them, and as browsers do."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

_PORTS = {"http": 80, "https": 443}
EVERYWHERE = ("0.0.0.0", "::")


def host_name(written: str) -> str:
    """The machine's name in `lab`, `lab:8000` or `http://lab:8000/`, in lower case, as it stands in a request's Host.

    Raises:
        ValueError: there is none, or there is more.
    """
    text = written.strip()
    if is_address(text.strip("[]")):
        return text.strip("[]").lower()
    try:
        parts = urlsplit(text if "://" in text else f"//{text}")
        name, _ = parts.hostname, parts.port
    except ValueError:
        name = None
    if not name or parts.path.strip("/") or parts.query or parts.username or not _is_plain(name):
        raise ValueError(f"expected a host name such as microscope.lab, got {written!r}")
    return name.rstrip(".")


def origin(written: str) -> str:
    """The origin in `http://lab:3000/`, as a browser sends it.

    Raises:
        ValueError: it has no scheme or no name, or there is more.
    """
    text = written.strip()
    try:
        parts = urlsplit(text.lower())
        name, port = parts.hostname, parts.port
    except ValueError:
        name, port = None, None
    if parts.scheme not in _PORTS or not name or parts.path.strip("/") or parts.query or not _is_plain(name):
        raise ValueError(f"expected a web origin such as http://lab:3000, got {written!r}")
    host = f"[{name}]" if ":" in name else name
    return f"{parts.scheme}://{host}" + (f":{port}" if port not in (None, _PORTS[parts.scheme]) else "")


def published_url(written: str, port: int) -> str:
    """The page's address in `lab`, `lab:8000` or `http://lab/microscope/`; a port 0 is `port`."""
    url = (written if "://" in written else f"http://{written}").rstrip("/")
    return f"{url.removesuffix(':0')}:{port}" if url.endswith(":0") else url


def published_host(written: str) -> str:
    """The machine's name in what `published_url` takes.

    Raises:
        ValueError: there is none.
    """
    try:
        return host_name(urlsplit(written).netloc if "://" in written else written)
    except ValueError:
        raise ValueError(f"expected HOST, HOST:PORT or the page's URL, got {written!r}") from None


def is_address(name: str) -> bool:
    """Whether it is a literal IP address."""
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def is_loopback(name: str) -> bool:
    """Whether only this machine itself can reach what listens there."""
    return name == "localhost" or (is_address(name) and ip_address(name).is_loopback)


def _is_plain(name: str) -> bool:
    return is_address(name) or all(letter.isalnum() or letter in "-._" for letter in name)
