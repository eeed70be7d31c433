"""What every cell of the bypass matrix is made of: two secrets, the faults, and the counts at both ends."""

from __future__ import annotations

import json
import re
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from checkrein import Decision, EnforcementPoint, Entity, Settings, Stage
from checkrein.detection import Detectors, Span
from checkrein.testing import FailingEngine, StaticEngine, Upstream, deny, obligation, permit

# No other text has these characters: each one that is seen where it must not be is a leak.
IN_PROMPT = "§¤¶§¤¶§¤¶"
IN_ANSWER = "†‡※†‡※†‡※"
PROMPT = f"my key is {IN_PROMPT}, keep it"
# Long enough for some of it to leave a window before its secret comes.
ANSWER = f"{'well, ' * 20}the key is {IN_ANSWER}, keep it"

_KEY = "sk-bypass-"
LONGEST = len(IN_PROMPT)
_FOUND = re.compile(f"[{IN_PROMPT[:3]}{IN_ANSWER[:3]}]{{1,{LONGEST}}}")

# The settings under which nothing stands of what a watched caller is denied.
WATCHING = {"rules": [{"subject": {"team": "watched"}, "mode": "monitor"}]}

MODEL_STAGES = (Stage.MODEL_SELECTION, Stage.PRE_PROMPT, Stage.POST_COMPLETION)
TOOL_STAGES = (Stage.TOOL_CALL, Stage.TOOL_RESULT)
_REFUSALS: Mapping[str, Callable[[], StaticEngine | FailingEngine]] = {
    "deny": lambda: StaticEngine(deny("no")),
    "timeout": lambda: FailingEngine("timeout", remote=True),
    "nonsense": lambda: FailingEngine(answer={"allow": True}),
    "unknown obligation": lambda: StaticEngine(permit(obligation("sing", song="la"))),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """What an engine does at one stage; at every other it permits.

    Args:
        kind: what; or `permit`, the control, which shows that the counts can be other than zero; or
            `monitor`: it denies, and nothing stands of that.
        stage: where.
    """

    kind: str
    stage: Stage | None = None

    def __str__(self) -> str:
        return self.kind if self.stage is None else f"{self.kind} at {self.stage}"

    @classmethod
    def named(cls, name: str) -> Fault:
        """The fault of this name, as `str` gives it.

        Raises:
            ValueError: there is none.
        """
        kind, _, stage = name.partition(" at ")
        if kind not in {"permit", "monitor", "redact", *_REFUSALS}:
            raise ValueError(f"`{name}` is no fault")
        return cls(kind, Stage(stage) if stage else None)

    @classmethod
    def of_key(cls, key: str) -> Fault:
        """The fault of whoever has this key.

        Raises:
            ValueError: it is no key.
        """
        return cls.named(key.removeprefix(_KEY).replace("-", " "))

    @property
    def key(self) -> str:
        """The key of whoever calls a proxy under this fault."""
        return _KEY + str(self).replace(" ", "-")

    @property
    def caller(self) -> Entity:
        """Who calls under this fault, where a caller's name chooses it."""
        return Entity(type="user", id=str(self), properties={"team": "watched"} if self.watches else {})

    @property
    def refuses(self) -> bool:
        """Whether the call must end there."""
        return self.kind in _REFUSALS

    @property
    def watches(self) -> bool:
        """Whether what is denied passes all the same."""
        return self.kind == "monitor"

    @property
    def shields_prompt(self) -> bool:
        """Whether no model may see the prompt's secret."""
        if self.watches:
            return False
        return self.stage is Stage.PRE_PROMPT or (self.refuses and self.stage is Stage.MODEL_SELECTION)

    @property
    def shields_answer(self) -> bool:
        """Whether no caller may see the answer's secret."""
        return (self.stage is Stage.POST_COMPLETION and not self.watches) or self.shields_prompt

    @property
    def may_send(self) -> bool:
        """Whether a model may be asked at all."""
        return not self.refuses or self.stage not in (Stage.MODEL_SELECTION, Stage.PRE_PROMPT)

    def engine(self) -> StaticEngine:
        """The engine that does it."""
        answers = dict.fromkeys(Stage, permit())
        if self.kind == "redact":
            answers[self.stage] = permit(obligation("redact", types=["secret"]))
        elif self.refuses:
            answers[self.stage] = _REFUSALS[self.kind]()._answer
        elif self.watches:
            answers[self.stage] = deny("no")
        # A remote one, so that an outage is one; the settings open nothing.
        return StaticEngine(answers, remote=True)


def faults(stages: Iterable[Stage]) -> list[Fault]:
    """The control, and every fault at every stage."""
    redactable = [stage for stage in stages if stage.has_text]
    return [
        Fault("permit"),
        *(Fault(kind, stage) for kind in _REFUSALS for stage in stages),
        *(Fault("redact", stage) for stage in redactable),
    ]


def watched(stages: Iterable[Stage]) -> list[Fault]:
    """A denial at every stage, of which nothing stands."""
    return [Fault("monitor", stage) for stage in stages]


def scan(text: str) -> list[Span]:
    """Every run of a secret's characters."""
    return [Span("secret", *hit.span()) for hit in _FOUND.finditer(text)]


class Everyone(StaticEngine):
    """Does to each caller what the caller is named after."""

    def __init__(self) -> None:
        super().__init__(self._fault, name="bypass", remote=True)

    def _fault(self, request: Any) -> Any:
        self.asked.clear()
        return Fault.named(request.document["subject"]["id"]).engine()._answer(request)


def govern(fault: Fault, mode: str = "hold") -> tuple[EnforcementPoint, list[Decision]]:
    """An enforcement point with the fault, and its records.

    Args:
        fault: what its engine does.
        mode: how streams leave: `hold` or `window`.
    """
    return _governed(fault.engine(), mode)


def govern_everyone(mode: str) -> tuple[EnforcementPoint, list[Decision]]:
    """An enforcement point with a fault for each caller, and its records.

    Args:
        mode: how streams leave: `hold` or `window`.
    """
    return _governed(Everyone(), mode)


def _governed(engine: StaticEngine, mode: str) -> tuple[EnforcementPoint, list[Decision]]:
    records: list[Decision] = []
    settings = Settings.model_validate({"stream": {"mode": mode}, "enforcement": WATCHING})
    pep = EnforcementPoint(engine, settings, record=records.append)
    pep._concluder.detectors = Detectors(
        dict.fromkeys(Stage, frozenset({"secret"})),
        dict.fromkeys(Stage, (scan,)),
        dict.fromkeys(Stage, LONGEST),
    )
    return pep, records


@dataclass(slots=True)
class Came:
    """What came of one call.

    Args:
        cell: names the call in the header `x-cell` of its requests.
        given: everything that the caller was given, as it came.
        heard: what callbacks and traces were told.
        error: what was raised.
    """

    cell: str
    given: list[object] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)
    error: BaseException | None = None

    @property
    def seen(self) -> str:
        """All of it as text, with the error's words and those of what caused it."""
        told = "".join(traceback.format_exception(self.error, limit=0)) if self.error else ""
        return unescaped("\n".join([*map(repr, self.given), *self.heard, repr(self.error), told]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """What a cell is about.

    Args:
        requests: that reached a model although the call was to be refused before.
        prompt: characters of the prompt's secret that a model saw although it must not.
        answer: characters of the answer's secret that the caller saw although it must not.
        outcome: `passed`, `denied`, `redacted`, or what was raised.
    """

    requests: int
    prompt: int
    answer: int
    outcome: str

    @property
    def leaks(self) -> int:
        """Everything that is counted."""
        return self.requests + self.prompt + self.answer


def characters(secret: str, text: str) -> int:
    """How many characters of a secret stand in a text."""
    return sum(text.count(char) for char in set(secret))


def unescaped(text: str) -> str:
    """A text with what JSON writes as an escape written out."""
    return re.sub(r"\\u([0-9a-fA-F]{4})", lambda hit: chr(int(hit[1], 16)), text)


def all_sent(upstream: Upstream) -> list[str]:
    """All that reached a provider: the address, the headers and the body of every request.

    Args:
        upstream: the provider.
    """
    return [
        unescaped("\n".join([request.path, repr(request.headers), request.raw.decode(errors="replace")]))
        for request in upstream.requests
        # A proxy that starts asks for the names of the models.
        if request.path != "/v1/models"
    ]


def sent_by(came: Came, upstream: Upstream) -> list[str]:
    """The bodies of the requests that a call has sent.

    Args:
        came: what came of the call.
        upstream: where they went.
    """
    return [
        json.dumps(request.body, ensure_ascii=False)
        for request in upstream.requests
        if request.headers.get("x-cell") == came.cell
    ]


def count(fault: Fault, came: Came, sent: list[str], denial: type[BaseException]) -> Count:
    """Count what must be zero.

    Args:
        fault: what the engine did.
        came: what came of it at the caller.
        sent: the bodies that reached a model.
        denial: the exception of a denied call.
    """
    outcome = "passed"
    if came.error is not None:
        outcome = "denied" if isinstance(came.error, denial) else type(came.error).__name__
    elif fault.kind == "redact":
        outcome = "redacted"
    return Count(
        requests=0 if fault.may_send else len(sent),
        prompt=characters(IN_PROMPT, "".join(sent)) if fault.shields_prompt else 0,
        answer=characters(IN_ANSWER, came.seen) if fault.shields_answer and not _reached(fault) else 0,
        outcome=outcome,
    )


def _reached(fault: Fault) -> bool:
    # A prompt that is redacted is sent, and its answer is nobody's secret.
    return fault.kind == "redact" and fault.stage is Stage.PRE_PROMPT
