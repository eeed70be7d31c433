"""A support desk's agent, offline: tools that are gated, a refund that waits for an approval, a subagent.

python examples/langchain_agent/agent.py
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langchain_core.documents import Document
from langchain_core.messages import ToolMessage
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import BaseTool, create_retriever_tool, tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from checkrein import EnforcementPoint, Entity
from checkrein.testing import Upstream
from checkrein_langchain import GuardedRetriever, PolicyMiddleware, as_subject, guard

HERE = Path(__file__).resolve().parent
SSN = "536-90-4399"
SUE = Entity(type="user", id="sue", properties={"roles": ["support"]})
THREAD = {"thread_id": "ticket-7"}

# What the model of this demo does, call by call; a real one thinks of it itself.
STEPS: tuple[Any, ...] = (
    {
        "tool_calls": [
            {"name": "find_customer", "arguments": {"name": "Jo"}},
            {"name": "handbook", "arguments": {"query": "refunds"}},
            {"name": "delete_customer", "arguments": {"customer": "c1"}},
        ]
    },
    {"name": "refund", "arguments": {"customer": "c1", "amount_cents": 25000}},
    {"name": "summarise", "arguments": {"text": f"Jo, {SSN}, was refunded 250."}},
    "Jo has the money back; I could not delete the account.",
)


def think(body: Mapping[str, Any]) -> Any:
    """The next step: as many as the model has taken already are behind it."""
    messages = body["messages"]
    if messages[0]["role"] == "system":
        return "Jo was refunded."
    return STEPS[sum(one["role"] == "assistant" for one in messages)]


class Handbook(BaseRetriever):
    """Three pages, of which one is not for the desk."""

    def _get_relevant_documents(self, query: str) -> list[Document]:  # noqa: ARG002 -- it is a short handbook
        return [
            Document("Refunds over 50 need an approval."),
            Document("CONFIDENTIAL: the refund budget of this quarter is 10,000."),
            Document("Be kind."),
        ]


@tool
def find_customer(name: str) -> dict[str, str]:
    """Find a customer by name."""
    return {"id": "c1", "name": name, "ssn": SSN}


@tool
def refund(customer: str, amount_cents: int) -> str:
    """Give a customer money back."""
    print(f"    (the bank: {amount_cents / 100:.2f} to {customer})")
    return "refunded"


@tool
def delete_customer(customer: str) -> str:
    """Delete a customer."""
    raise AssertionError(f"{customer} was deleted")


def tools_of(model: ChatOpenAI, pep: EnforcementPoint) -> list[BaseTool]:
    """The desk's tools: one searches the handbook, one asks a subagent, whose model is guarded by itself."""
    handbook = create_retriever_tool(
        GuardedRetriever(retriever=Handbook(), pep=pep), "handbook", "Search the handbook."
    )
    writer = create_agent(guard(model, pep), system_prompt="Summarise in one line.")

    @tool
    def summarise(text: str) -> str:
        """Let a subagent summarise a text."""
        return str(writer.invoke({"messages": [("user", text)]})["messages"][-1].text)

    return [find_customer, refund, delete_customer, handbook, summarise]


def show(state: Mapping[str, Any]) -> None:
    """What the tools gave the model, and what it said in the end."""
    for message in state["messages"]:
        if isinstance(message, ToolMessage):
            print(f"  {message.name} ({message.status}): {' / '.join(message.text.splitlines())}")
    print(f"  agent: {state['messages'][-1].text or '(waits)'}")


def main() -> None:
    """Run the demo."""
    with tempfile.TemporaryDirectory() as folder, Upstream(think) as upstream:
        os.environ["CHECKREIN_DEMO"] = folder
        pep = EnforcementPoint.from_settings(HERE / "checkrein.yaml")
        model = ChatOpenAI(base_url=upstream.url, api_key="none", model="gpt-4o", max_retries=0)
        agent = create_agent(
            model, tools_of(model, pep), middleware=[PolicyMiddleware(pep)], checkpointer=InMemorySaver()
        )
        sue: Any = as_subject(SUE)
        config = {"configurable": {**sue["configurable"], **THREAD}}

        print("Sue asks:")
        question = f"Refund Jo (SSN {SSN}) 250 for the broken saddle and delete the account."
        state = agent.invoke({"messages": [("user", question)]}, config)
        show(state)

        (asked,) = [one.value for one in state["__interrupt__"]]
        shown = {key: asked[key] for key in ("tool", "arguments", "subject", "approvers")}
        print(f"\nFinance is asked:\n  {json.dumps(shown)}")
        print("\nFay approves:")
        answer = {"approved": True, "approver": "fay", "digest": asked["digest"]}
        state = agent.invoke(Command(resume=answer), config)
        show(state)
        pep.close()

        records = [json.loads(line) for line in (Path(folder) / "decisions.jsonl").read_text().splitlines()]
        decisions = [one for one in records if one["event"] == "policy_decision"]
        denied = sorted(one["reasons"][0]["code"] for one in decisions if not one["permitted"])
        print(f"\nThe log has {len(decisions)} decisions; denied: {', '.join(denied)}.")
        print(f"The provider saw the social security number {upstream.texts.count(SSN)} times.")


if __name__ == "__main__":
    main()
