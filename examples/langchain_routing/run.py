"""One chat model over three: policy chooses by complexity, privacy and budget. Offline, on loopback.

python examples/langchain_routing/run.py
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from rich import box
from rich.console import Console
from rich.table import Table

from checkrein import Decision, EnforcementPoint, Entity, PolicyDenied
from checkrein.testing import Upstream
from checkrein_langchain import PolicyRouter, as_subject

HERE = Path(__file__).resolve().parent
SSN = "536-90-4399"
LONG = "Compare these two plans, line by line, and say which one is better, and why. " * 4
CODE = "What does this do?\n```\ntotal = total + price * quantity\n```"

# Micro-USD for one call.
PIA = Entity(type="user", id="pia", properties={"budget_micros": 10_000})
FINN = Entity(type="user", id="finn", properties={"budget_micros": 500})

# Who asks what, and of which model, if of a certain one.
CALLS = (
    (PIA, "What is a checkrein?", None),
    (PIA, LONG, None),
    (PIA, CODE, None),
    (FINN, CODE, None),
    (PIA, f"My SSN is {SSN}. Draft the letter for me.", None),
    (FINN, "What is a checkrein?", "large"),
    (PIA, f"Once more for {SSN}, and do it well.", "large"),
)


@tool
def plans(year: int) -> str:
    """Look the plans of a year up."""
    return f"the plans of {year}"


def row(call: tuple[Entity, str, str | None], records: list[Decision], outcome: str) -> tuple[str, ...]:
    """One call: which models it could not reach, and why, and which it did."""
    who, asked, wish = call
    refused = [
        f"{one.resource.id}: {', '.join(reason.code for reason in one.reasons)}"
        for one in records[0].candidates
        if not one.permitted
    ]
    if not records[-1].permitted:
        refused.append(f"{records[-1].request.resource.id}: {records[-1].reasons[0].code}")
    return who.id, asked.splitlines()[0][:48], wish or "any", "\n".join(refused), outcome


def main() -> None:
    """Route some calls, and tell what each provider saw."""
    table = Table("who", "asked", "of", "refused", "answered by", box=box.SIMPLE_HEAD)
    records: list[Decision] = []
    with ExitStack() as stack:
        outside = stack.enter_context(Upstream(lambda body: str(body["model"])))
        inside = stack.enter_context(Upstream(lambda body: str(body["model"])))
        pep = EnforcementPoint.from_settings(HERE / "settings.yaml", record=records.append)
        stack.callback(pep.close)

        def model(name: str, at: Upstream) -> ChatOpenAI:
            return ChatOpenAI(model=name, base_url=at.url, api_key="none", max_tokens=512, max_retries=0)

        router = PolicyRouter(
            models={
                "small": model("gpt-4o-mini", outside),
                "large": model("gpt-4o", outside),
                "local": model("llama-3.3", inside),
            },
            pep=pep,
            prefer=("small", "large", "local"),
        )
        # Bound to whatever model is chosen, in that model's own way.
        assistant = router.bind_tools([plans])
        for who, asked, wish in CALLS:
            records.clear()
            options = {"model": wish} if wish else {}
            try:
                outcome = assistant.invoke(asked, as_subject(who), **options).text
            except PolicyDenied as denied:
                outcome = f"denied: {denied.code}"
            table.add_row(*row((who, asked, wish), records, outcome))
        console = Console(width=132)
        console.print(table)
        print(
            f"Outside: {len(outside.requests)} of {len(CALLS)} prompts, {outside.texts.count(SSN)} of the 2 "
            "numbers in them. "
            f"In the house: {len(inside.requests)} prompts, {inside.texts.count(SSN)} number."
        )


if __name__ == "__main__":
    main()
