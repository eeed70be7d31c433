"""OPA's REST API over OPA's own engine, on loopback: what `opa run --server` does, as far as tests ask.

The engine is the real one (a shared library that `make` installs into the environment); statuses, error
bodies, warnings, redirects, health, provenance and decision log are laid out as in OPA 1.x. By hand:

    python tests/engines/opa/opa_server.py policies/checkrein_policies/baseline/rego
"""

from __future__ import annotations

import json
import re
import ssl
import sys
import threading
import uuid
from collections.abc import Mapping
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

ENGINE = Path(sys.prefix, "opa-engine")
VERSION = "1.20.2"
# `file.rego:4: eval_conflict_error: words`
FAILURE = re.compile(r"(?:(?P<file>.*?):(?P<row>\d+): )?(?P<code>eval_[a-z_]+): (?P<message>.*)", re.DOTALL)


def bindings() -> Any:
    """The package that holds OPA's engine."""
    if not ENGINE.is_dir():
        raise RuntimeError("OPA's engine is not installed; run `make .venv/ready`")
    if str(ENGINE) not in sys.path:
        sys.path.append(str(ENGINE))
    return import_module("opa_bindings")


class OpaServer:
    """A running OPA.

    Args:
        bundle: a folder of policies and data, laid out as an OPA bundle, or one policy.
        policies: more policies: Rego by file name.
        data: more data.
        revision: of the bundle.
        token: the bearer token that it asks for.
        logs: whether decisions are logged, and therefore have ids.
        tls: by which to serve TLS.

    Attributes:
        ready: whether its bundles are there; before, it answers nothing and says so under `/health?bundles`.
        requests: what it was asked: method, target, headers, body.
        decisions: its decision log, masked by `data.system.log.mask`.
    """

    def __init__(  # noqa: PLR0913 -- each is a way that an OPA can be run
        self,
        bundle: Path | None = None,
        *,
        policies: Mapping[str, str] | None = None,
        data: Mapping[str, Any] | None = None,
        revision: str = "",
        token: str | None = None,
        logs: bool = True,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.opa = bindings()
        self._engine = self.opa.OpaEngine()
        self.revision = revision
        self.token = token
        self.logs = logs
        self.ready = True
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.decisions: list[dict[str, Any]] = []
        for name, source in {**_modules(bundle), **(policies or {})}.items():
            self._engine.add_policy(name, source)
        for value in (*_data(bundle), data or {}):
            self._engine.add_data(value)
        self.evaluate(["checkrein", "loaded"], {})  # policies that do not compile end here
        self._server = _Server(("127.0.0.1", 0), partial(_Handler, self))
        if tls is not None:
            # The handshake is each connection's own thread's work.
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port = self._server.server_address[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._engine.close()

    def evaluate(self, parts: list[str], given: Any) -> list[Any]:
        """The value of a document, or none."""
        reference = "".join(f"[{json.dumps(int(part) if _digits(part) else part)}]" for part in parts)
        found = self._engine.eval_query(f"value = data{reference}", given)
        return [binding["value"] for binding in found]

    def log(self, event: dict[str, Any]) -> None:
        """Write a decision to the log, masked; one whose masking fails is dropped, as in OPA."""
        try:
            masks = self.evaluate(["system", "log", "mask"], event)
        except self.opa.OpaError:
            return
        event = json.loads(json.dumps(event))
        erased = [path for path in _paths(masks[0] if masks else []) if _erase(event, path)]
        self.decisions.append({**event, **({"erased": sorted(erased)} if erased else {})})


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    def __init__(self, opa: OpaServer, *arguments: Any) -> None:
        self.opa = opa
        super().__init__(*arguments)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing."""

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:  # the client went away, or knows us not
            self.close_connection = True

    def do_GET(self) -> None:
        target = self._begin()
        if target is None:
            return
        if target.path != "/health":
            self._answer(404, {"code": "undefined_document", "message": "not found"})
        elif "bundles" in parse_qs(target.query, keep_blank_values=True) and not self.opa.ready:
            self._answer(500, {"error": "one or more bundles are not activated"})
        else:
            self._answer(200, {})

    def do_POST(self) -> None:
        target = self._begin()
        if target is None:
            return
        if not target.path.startswith("/v1/data/"):
            self._answer(404, {"code": "undefined_document", "message": "not found"})
        elif target.path.endswith("/"):
            self.send_response(301)
            self.send_header("Location", target.path.rstrip("/"))
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self._data(target.path.removeprefix("/v1/data/"), parse_qs(target.query))

    def _begin(self) -> Any:
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.opa.requests.append((self.command, self.path, dict(self.headers), self.body))
        if self.opa.token is not None and self.headers.get("Authorization") != f"Bearer {self.opa.token}":
            self._answer(
                401, {"code": "unauthorized", "message": "request rejected by administrative policy"}
            )
            return None
        return urlsplit(self.path)

    def _data(self, path: str, query: Mapping[str, list[str]]) -> None:
        try:
            asked = json.loads(self.body or b"{}")
        except ValueError:
            self._answer(
                400, {"code": "invalid_parameter", "message": "body contains malformed input document"}
            )
            return
        answer: dict[str, Any] = {"decision_id": str(uuid.uuid4())} if self.opa.logs else {}
        if query.get("provenance") == ["true"]:
            bundles = {"main": {"revision": self.opa.revision}} if self.opa.revision else {}
            answer["provenance"] = {"version": VERSION, "build_commit": "", "bundles": bundles}
        if "input" not in asked:
            answer["warning"] = {
                "code": "api_usage_warning",
                "message": "'input' key missing from the request",
            }
        # OPA decodes a segment once more after its router has decoded the path.
        parts = [unquote(unquote(part)) for part in path.split("/")]
        try:
            found = self.opa.evaluate(parts, asked.get("input")) if self.opa.ready else []
        except self.opa.opa.OpaError as error:
            failure = FAILURE.fullmatch(error.message)
            code = failure["code"] if failure else "internal_error"
            if code == "eval_builtin_error" and query.get("strict-builtin-errors") != ["true"]:
                found = []  # not strict: as if it were undefined
            else:
                self._answer(500, _evaluation_error(failure))
                return
        if found:
            answer["result"] = found[0]
        if self.opa.logs:
            self.opa.log(
                {
                    "decision_id": answer["decision_id"],
                    "path": path,
                    "input": asked.get("input"),
                    **({"result": found[0]} if found else {}),
                }
            )
        self._answer(200, answer)

    def _answer(self, status: int, body: Mapping[str, Any]) -> None:
        content = json.dumps(body).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _evaluation_error(failure: re.Match[str] | None) -> dict[str, Any]:
    if failure is None:
        return {"code": "internal_error", "message": "error(s) occurred while evaluating query"}
    place = {"file": failure["file"], "row": int(failure["row"] or 0), "col": 1}
    error = {"code": failure["code"], "message": failure["message"], "location": place}
    return {
        "code": "internal_error",
        "message": "error(s) occurred while evaluating query",
        "errors": [error],
    }


def _modules(bundle: Path | None) -> dict[str, str]:
    if bundle is None:
        return {}
    files = [bundle] if bundle.is_file() else sorted(bundle.rglob("*.rego"))
    return {path.name: path.read_text() for path in files if not path.stem.endswith("_test")}


def _data(bundle: Path | None) -> list[Any]:
    if bundle is None or bundle.is_file():
        return []
    found = []
    for path in sorted((*bundle.rglob("data.json"), *bundle.rglob("data.yaml"))):
        value = yaml.safe_load(path.read_text())
        for part in reversed(path.parent.relative_to(bundle).parts):
            value = {part: value}
        found.append(value)
    return found


def _digits(part: str) -> bool:
    return re.fullmatch(r"[+-]?\d+", part) is not None


def _paths(masks: list[Any]) -> list[str]:
    return [mask if isinstance(mask, str) else mask["path"] for mask in masks]


def _erase(event: Any, path: str) -> bool:
    """Take out what a JSON pointer names; tell whether it was there."""
    *parents, last = [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")[1:]]
    for parent in parents:
        event = event[int(parent)] if isinstance(event, list) else event.get(parent)
        if event is None:
            return False
    return event.pop(last, None) is not None


if __name__ == "__main__":
    with OpaServer(Path(sys.argv[1]), revision="by hand", logs="--logs" in sys.argv) as server:
        sys.stdout.write(f"{server.url}\n")
        sys.stdout.flush()
        sys.stdin.read()  # until whoever started it ends it
