"""Where OPA is and where its rules are: settings read into hosts, ports and paths, once."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlsplit

__all__ = ["Address", "parse_url", "path_of"]

_PORTS: Final = {"http": 80, "https": 443}
_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?|[0-9A-Fa-f:.]+")
_PREFIX: Final = re.compile(r"(?:/[A-Za-z0-9._~-]+)*")
# A rule as Rego writes it: `data.a["odd name"].b`; its last part is a plain name, as every rule's is.
_ENTRYPOINT: Final = re.compile(
    r'data(?:\.[A-Za-z_][A-Za-z0-9_]*|\["[^"\\\x00-\x1f]+"\])+\.[A-Za-z_][A-Za-z0-9_]*'
)
_PART: Final = re.compile(r'\.([A-Za-z0-9_]+)|\["([^"]+)"\]')


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where OPA answers.

    Args:
        host: its name or literal address, without brackets.
        port: its TCP port.
        tls: whether it is spoken to by TLS.
        prefix: what stands before `/v1` in every path; no slash at its end.
    """

    host: str
    port: int
    tls: bool
    prefix: str = ""

    @property
    def literal(self) -> bool:
        """Whether the host is an address that nobody needs to resolve."""
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            return False
        return True

    @property
    def authority(self) -> str:
        """The value of the `Host` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS["https" if self.tls else "http"] else f"{host}:{self.port}"


def parse_url(url: str) -> Address:
    """Read the address of OPA.

    Raises:
        ValueError: it is none; the message never repeats it, because a password may stand in it.
    """
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("holds a space, a control or a non-ASCII character; write it as `http://host:port`")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError("is no URL; write it as `http://host:port`") from None
    if "@" in parts.netloc:
        raise ValueError("holds credentials; put the token in `token`")
    if parts.scheme not in _PORTS or not _HOST.fullmatch(host) or port == 0:
        raise ValueError("must be `http://host:port` or `https://host:port`, with a path before `/v1` if any")
    if parts.query or parts.fragment or "?" in url or "#" in url:
        raise ValueError("has a query or a fragment; take it away")
    prefix = parts.path.rstrip("/")
    if not _PREFIX.fullmatch(prefix) or {"", ".", ".."} & set(prefix.split("/")[1:]):
        raise ValueError("has a path that is no plain one; write it as `/a/b`")
    if prefix.endswith("/v1") or "/v1/data" in prefix:
        raise ValueError("reaches into OPA's API; end it before `/v1` and name rules in `entrypoints`")
    tls = parts.scheme == "https"
    return Address(host=host, port=port or _PORTS[parts.scheme], tls=tls, prefix=prefix)


def path_of(entrypoint: str) -> str:
    """The path of a rule in OPA's data API.

    Args:
        entrypoint: the rule in Rego: `data.package.rule`, with odd names as `data.team["pre-prompt"].rule`.

    Raises:
        ValueError: it is no rule, or has a part that OPA's paths cannot say.
    """
    if not _ENTRYPOINT.fullmatch(entrypoint):
        raise ValueError(f"`{entrypoint}` is no rule; write it as `data.package.rule`")
    parts = [plain or quoted for plain, quoted in _PART.findall(entrypoint)]
    for part in parts:
        # OPA splits at slashes, decodes twice and takes digits for an array's index.
        if part in {".", ".."} or "/" in part or "%" in part or re.fullmatch(r"[+-]?\d+", part):
            raise ValueError(
                f"`{entrypoint}` has the part `{part}`, which OPA's paths cannot name; rename it"
            )
    return "/v1/data/" + "/".join(quote(part, safe="") for part in parts)
