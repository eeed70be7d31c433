"""The options of the engine `opa`, and the TLS context that they describe."""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import Field, field_validator, model_validator

from checkrein.engine import EngineOptions
from checkrein.errors import PolicyLoadError
from checkrein.strict import Secret, SettingsPath, StageName, StrictModel
from checkrein.vocabulary import Stage

from .addressing import parse_url, path_of

__all__ = ["OpaOptions", "OpaTls", "entrypoints_of", "tls_context"]

# The stages of a model call: a server's packages are unknown when the settings are loaded.
_STAGES: Final = (Stage.MODEL_SELECTION, Stage.PRE_PROMPT, Stage.POST_COMPLETION)
_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,8192}")
_INPUT: Final = re.compile(r"context(\.[A-Za-z0-9_-]+)+")


class OpaTls(StrictModel):
    """How OPA is known and how it knows us; certificates and host names are always verified.

    Args:
        ca: the certificates to trust, PEM; instead of the system's.
        cert: our certificate with its chain, PEM, where OPA asks for one.
        key: its private key, PEM, not encrypted; without it the key stands in `cert`.
    """

    ca: SettingsPath | None = None
    cert: SettingsPath | None = None
    key: SettingsPath | None = None

    @model_validator(mode="after")
    def _key_has_a_certificate(self) -> OpaTls:
        if self.key is not None and self.cert is None:
            raise ValueError("has a `key` without a `cert`; name the certificate")
        return self


class OpaOptions(EngineOptions):
    """The options of the engine `opa`.

    Args:
        url: where OPA answers: `http://127.0.0.1:8181`. A path is what stands before `/v1`. Proxies of the
            environment are not used.
        entrypoints: the rule to ask, by stage; by default `data.checkrein.<stage>.decision`. Where it is
            given and `stages` is not, its stages are the ones that are covered; where neither is, those of
            a model call (`model_selection`, `pre_prompt`, `post_completion`).
        token: the bearer token.
        tls: certificates, for `https`.
        timeout: the deadline of one question in seconds, over name, connection, tries and answer together.
            The default outlives one lost packet on an open connection (sent again after 0.2 s).
        retries: how often a question is asked again when a new connection fails before an answer has begun.
            A kept connection that turns out to be closed is replaced beside that.
        connections: most connections at once; whoever comes later waits, within the deadline.
        input: what is sent besides facts: dotted paths such as `context.prompt.text`,
            `context.completion.text`, `context.result.text`, `context.tool.arguments`, or a key of the
            context that is no known fact. OPA's decision log keeps what it is sent.
        check: whether OPA must be there, healthy and willing to answer when the settings are loaded.
    """

    url: str
    entrypoints: Mapping[StageName, str] = Field(default_factory=dict, strict=False)
    token: Secret | None = None
    tls: OpaTls = OpaTls()
    timeout: float = Field(default=0.5, gt=0, le=60)
    retries: int = Field(default=1, ge=0, le=5)
    connections: int = Field(default=64, ge=1, le=1024)
    input: Annotated[tuple[str, ...], Field(strict=False)] = ()
    check: bool = False

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        parse_url(value)
        return value

    @field_validator("entrypoints")
    @classmethod
    def _are_rules(cls, value: Mapping[Stage, str]) -> Mapping[Stage, str]:
        for entrypoint in value.values():
            path_of(entrypoint)
        return value

    @field_validator("token")
    @classmethod
    def _fits_a_header(cls, value: Secret | None) -> Secret | None:
        if value is not None and not _TOKEN.fullmatch(value.get_secret_value()):
            raise ValueError("holds a space, a control or a non-ASCII character, or nothing")
        return value

    @field_validator("input")
    @classmethod
    def _are_paths(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for path in value:
            if not _INPUT.fullmatch(path):
                raise ValueError(
                    f"`{path}` is no path below `context`; write `context.prompt.text`, for instance"
                )
        return value

    @model_validator(mode="after")
    def _tls_needs_https(self) -> OpaOptions:
        if self.tls != OpaTls() and not parse_url(self.url).tls:
            raise ValueError("has `tls`, and its `url` does not start with `https:`; correct one of them")
        return self


def entrypoints_of(options: OpaOptions) -> dict[Stage, str]:
    """The rule of each stage that is covered.

    Raises:
        PolicyLoadError: `entrypoints` names a stage that `stages` leaves out.
    """
    stages = options.stages or tuple(options.entrypoints) or _STAGES
    for stage in options.entrypoints:
        if stage not in stages:
            raise PolicyLoadError(f"`entrypoints.{stage}` is given, but `stages` leaves `{stage}` out")
    return {stage: options.entrypoints.get(stage, f"data.checkrein.{stage}.decision") for stage in stages}


def tls_context(options: OpaOptions) -> ssl.SSLContext | None:
    """The context of every connection, or None in the clear.

    Raises:
        PolicyLoadError: a certificate or a key does not load.
    """
    if not parse_url(options.url).tls:
        return None
    tls = options.tls
    try:
        context = ssl.create_default_context(cafile=tls.ca)
    except (OSError, ValueError):
        raise PolicyLoadError(f"`tls.ca`: `{tls.ca}` holds no certificates in PEM") from None
    if tls.cert is not None:
        try:
            # Without a password OpenSSL would ask for one on the terminal and wait.
            context.load_cert_chain(tls.cert, tls.key, password=lambda: "")
        except (OSError, ValueError):
            raise PolicyLoadError(
                f"`tls.cert`: `{tls.cert}` and its key do not load; give PEM files that belong together, "
                "the key not encrypted"
            ) from None
    return context
