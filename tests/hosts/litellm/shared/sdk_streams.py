"""Streams that are read to their end, with what came before an error."""

from __future__ import annotations

from typing import Any

from governed_calls import point, text_of

from checkrein import Stage
from checkrein.testing import permit
from checkrein_litellm import PolicyClient

LONG = "".join(f"word {number} " for number in range(300))


def governed(answer: Any, **settings: Any) -> PolicyClient:
    answers = {**dict.fromkeys(Stage, permit()), Stage.POST_COMPLETION: answer}
    return PolicyClient(point(answers, {"detectors": {"post_completion": ["us_ssn"]}, **settings}))


class Read:
    """A stream that is read piece by piece, in either way."""

    def __init__(self, stream: Any, way: str) -> None:
        self.stream, self.way = stream, way

    async def piece(self) -> Any:
        if self.way == "sync":
            return next(self.stream, None)
        return await anext(self.stream, None)

    async def all(self) -> list[Any]:
        chunks = []
        while (chunk := await self.piece()) is not None:
            chunks.append(chunk)
        return chunks

    async def text(self) -> str:
        return "".join(text_of(chunk) for chunk in await self.all())

    async def close(self) -> None:
        if self.way == "sync":
            self.stream.close()
        else:
            await self.stream.aclose()
