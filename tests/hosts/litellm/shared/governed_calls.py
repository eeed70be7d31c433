"""What the tests of routers and of LiteLLM's functions say, how they call, and by what they are judged."""

from __future__ import annotations

from typing import Any

import pytest

from checkrein import EnforcementPoint, Settings, Stage
from checkrein.testing import FailingEngine, StaticEngine, deny, not_applicable, obligation, permit

LITELLMS_OWN_WARNINGS = [
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*ReadOnly.*:UserWarning"),
]
CALLING = [*LITELLMS_OWN_WARNINGS, pytest.mark.usefixtures("own_clients")]
WAYS = pytest.mark.parametrize("way", ["sync", "async"])
STREAMED_OR_NOT = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
ENGINES_WITHOUT_A_USABLE_ANSWER = pytest.mark.parametrize(
    "engine",
    [
        FailingEngine("timeout", remote=True),
        FailingEngine(answer=True),
        FailingEngine(error=ZeroDivisionError("oops")),
        StaticEngine(permit(obligation("sing", song="la"))),
        StaticEngine(not_applicable()),
    ],
    ids=["timeout", "nonsense", "bug", "unknown obligation", "nothing"],
)

SSN = "123-45-6789"
REDACTED = "[REDACTED:us_ssn]"
REDACT = permit(obligation("redact", types=["us_ssn"]))
DETECT = {"detectors": {"pre_prompt": ["us_ssn"], "post_completion": ["us_ssn"]}}
STAGES = [Stage.MODEL_SELECTION, Stage.PRE_PROMPT, Stage.POST_COMPLETION]


def point(answer: Any, settings: Any = None) -> EnforcementPoint:
    """Asks an engine, or the one that answers so, of calls whose prompts and answers are searched."""
    engine = answer if hasattr(answer, "evaluate") else StaticEngine(answer)
    read = Settings.model_validate({**DETECT, **(settings or {})})
    return EnforcementPoint(engine, read, record=lambda _: None)


def outside(request: Any) -> Any:
    """Nothing leaves for the us."""
    return deny("region") if request.document["resource"]["properties"].get("region") == "us" else permit()


def redacted_for_bob(request: Any) -> Any:
    """Findings reach everybody but Bob."""
    bob = request.document["subject"]["id"] == "bob"
    return REDACT if bob and request.stage is Stage.POST_COMPLETION else permit()


def said(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


def tool(name: str) -> dict[str, Any]:
    function = {"name": name, "parameters": {"type": "object", "properties": {}}}
    return {"type": "function", "function": function}


def completed(client: Any, given: dict[str, Any]) -> str:
    """What the caller of `completion` reads in the end."""
    answer = client.completion(**given)
    if not given.get("stream"):
        return answer.choices[0].message.content
    return "".join(text_of(chunk) for chunk in answer)


async def acompleted(client: Any, given: dict[str, Any]) -> str:
    """What the caller of `acompletion` reads in the end."""
    answer = await client.acompletion(**given)
    if not given.get("stream"):
        return answer.choices[0].message.content
    return "".join([text_of(chunk) async for chunk in answer])


def text_of(chunk: Any) -> str:
    """What a chunk says."""
    return "".join(choice.delta.content or "" for choice in chunk.choices)
