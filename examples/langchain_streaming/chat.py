"""A chat that redacts as it streams: text arrives before the model has ended. Offline, on loopback.

python examples/langchain_streaming/chat.py
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI

from checkrein import EnforcementPoint, PolicyDenied
from checkrein.testing import Upstream
from checkrein_langchain import guard

SETTINGS = Path(__file__).resolve().parent / "settings.yaml"
SSN = "536-90-4399"
CARD = "4111 1111 1111 1111"
FILLER = (
    "The file has been checked, page by page, and what it says agrees with what the customer told us. " * 6
)
REDACTED = f"{FILLER}Her social security number is {SSN}, as we have it on record. {FILLER}"
CUT = f"{FILLER}She pays with the card {CARD}, and has done so for years. {FILLER}"


def shown(parts: Iterable[str]) -> str:
    """Print what arrives, a line for each piece."""
    said = ""
    try:
        for part in parts:
            if part:
                print(f"  | {part.rstrip()}")
            said += part
    except PolicyDenied as denied:
        print(f"  {denied}")
    return said


def main() -> None:
    """Ask twice, and tell what arrived when."""
    with ExitStack() as stack:
        upstream = stack.enter_context(Upstream([REDACTED, CUT]))
        pep = EnforcementPoint.from_settings(SETTINGS, record=lambda _: None)
        stack.callback(pep.close)
        model = ChatOpenAI(model="gpt-4o", base_url=upstream.url, api_key="none", max_retries=0)
        chat = (
            ChatPromptTemplate.from_messages([("system", "You are a clerk."), ("human", "{question}")])
            | guard(model, pep)
            | StrOutputParser()
        )

        # So much is sent, and not a word more until we have seen some of it.
        upstream.pause_after(100)
        stream = chat.stream({"question": "What do we know of her?"})
        first = next(part for part in stream if part)
        ended = upstream.completed
        upstream.resume()
        print("What do we know of her?")
        said = shown([first, *stream])

        print("How does she pay?")
        cut = shown(chat.stream({"question": "How does she pay?"}))

        print(
            f"When the first {len(first)} characters arrived, the model had ended {ended} answers. "
            f"{said.count(SSN)} social security numbers arrived and {cut.count(CARD)} card numbers; of the "
            f"second answer {len(cut)} characters had left before it was cut off."
        )


if __name__ == "__main__":
    main()
