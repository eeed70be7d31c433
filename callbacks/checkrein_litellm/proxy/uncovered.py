"""What LiteLLM serves and shows to no hook, or to too few: denied, unless the settings allow it by name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import lru_cache
from typing import Final, Literal, NamedTuple

from checkrein import SettingsError

__all__ = [
    "SESSION",
    "UNCOVERED",
    "Uncovered",
    "allowed",
    "check_names",
    "governed",
    "uncovered_call",
    "uncovered_path",
]


SESSION: Final = "realtime"
"""The name of every websocket, whatever its address."""


class Uncovered(NamedTuple):
    """One kind of endpoint.

    Args:
        name: its name in the settings.
        passes: what goes through unjudged where it is allowed.
        paths: the addresses, as a regular expression.
        calls: LiteLLM's names of the calls, where it asks a hook before them.
    """

    name: str
    passes: str
    paths: str
    calls: tuple[str, ...] = ()


_V: Final = r"(?:/v1|/openai/v1)?"
_FILE: Final = r"(?:/v1|/[^/]+/v1)?/files"
# LiteLLM's own pass-through endpoints; those of its configuration are known by their call alone.
_PROVIDERS: Final = (
    "anthropic|assemblyai|azure|azure_ai|azure_speech|bedrock|bespoke|cohere|comprehendmedical|cursor"
    "|eu\\.assemblyai|fal_ai|gemini|gigachat|langfuse|laya|milvus|mistral|nvidia_nim|openai|openai_passthrough"
    "|openrouter|tinyfish|transcribe|typesafe|vertex-ai|vertex_ai|vllm|watsonx"
)

UNCOVERED: Final = (
    Uncovered(
        "agents",
        "what agents are told and answer",
        r"(?:/v1)?/a2a/(?!discover\Z).+|/v1beta/agents(?:/.*)?",
        (
            "acreate_agent",
            "adelete_agent",
            "aget_agent",
            "alist_agent_versions",
            "alist_agents",
            "asend_message",
            "send_message",
        ),
    ),
    Uncovered(
        "assistants", "assistants, threads, their messages and runs", rf"{_V}/(?:assistants|threads)(?:/.*)?"
    ),
    Uncovered(
        "batches",
        "the lists and the results of batches; records are judged when they are uploaded",
        r"(?:/v1|/[^/]+/v1)?/batches(?:/.*)?",
        ("acancel_batch", "acreate_batch", "alist_batches", "aretrieve_batch"),
    ),
    Uncovered(
        "compaction", "a conversation and its summary", rf"{_V}/responses/compact", ("acompact_responses",)
    ),
    Uncovered(
        "containers",
        "containers and the files in them",
        rf"{_V}/containers(?:/.*)?",
        (
            "acreate_container",
            "adelete_container",
            "adelete_container_file",
            "alist_container_files",
            "alist_containers",
            "aretrieve_container",
            "aretrieve_container_file",
            "aretrieve_container_file_content",
            "aupload_container_file",
        ),
    ),
    Uncovered("decisions", "decision models", rf"{_V}/(?:decisions|systemone)", ("adecisions", "asystemone")),
    Uncovered(
        "evals",
        "evaluations and their runs",
        rf"{_V}/evals(?:/.*)?",
        (
            "acancel_eval",
            "acancel_run",
            "acreate_eval",
            "acreate_run",
            "adelete_eval",
            "adelete_run",
            "aget_eval",
            "aget_run",
            "alist_evals",
            "alist_runs",
            "aupdate_eval",
        ),
    ),
    Uncovered(
        "file_content",
        "what stored files hold, results of batches included",
        rf"{_FILE}/.+/content",
        ("afile_content",),
    ),
    Uncovered(
        "files",
        "files, except records of a batch, which are judged",
        rf"{_FILE}(?:/.*)?",
        ("acreate_file", "afile_delete", "afile_list", "afile_retrieve"),
    ),
    Uncovered(
        "fine_tuning",
        "jobs and their files",
        rf"{_V}/fine_tuning/.*",
        (
            "acreate_fine_tuning_job",
            "acancel_fine_tuning_job",
            "alist_fine_tuning_jobs",
            "aretrieve_fine_tuning_job",
        ),
    ),
    Uncovered(
        "interactions",
        "what Google's interactions ask and answer",
        r"(?:/v1beta)?/interactions(?:/.*)?",
        ("acancel_interaction", "acreate_interaction", "adelete_interaction", "aget_interaction"),
    ),
    # Known by what is asked for, not by the address: that is one for tools, too.
    Uncovered("mcp_resources", "resources and prompts of MCP servers", "(?!)"),
    Uncovered("ocr", "documents and what is read in them", rf"{_V}/ocr", ("aocr", "ocr")),
    Uncovered(
        "pass_through",
        "what comes back; what is sent is judged",
        rf"/(?:{_PROVIDERS})(?:/.*)?",
        ("allm_passthrough_route", "pass_through_endpoint"),
    ),
    Uncovered("queue", "whole answers; what is sent, and streams, are judged", r"/queue/chat/completions"),
    Uncovered(
        "rag",
        "what is stored and found; the call of a model is judged",
        rf"{_V}/rag/.+",
        ("aingest", "aquery", "ingest", "query"),
    ),
    Uncovered(
        "realtime",
        "all of a session: every websocket",
        rf"{_V}/realtime(?:/.*)?|/vertex_ai/live",
        (
            "_arealtime",
            "_aresponses_websocket",
            "acreate_realtime_client_secret",
            "acreate_realtime_transcription_session",
            "arealtime_calls",
        ),
    ),
    Uncovered(
        "search", "queries and what is found", rf"{_V}/search(?:/(?!tools\Z).+)?", ("asearch", "search")
    ),
    Uncovered(
        "skills",
        "skills and their files",
        rf"{_V}/skills(?:/[^/]+)?",
        ("acreate_skill", "adelete_skill", "aget_skill", "alist_skills"),
    ),
    Uncovered(
        "stored_responses",
        "answers that a provider stored",
        rf"{_V}/responses/(?!(?:compact|input_tokens)\Z).+",
        ("acancel_responses", "adelete_responses", "aget_responses", "alist_input_items"),
    ),
    Uncovered(
        "token_counting",
        "prompts whose tokens a provider counts",
        rf"/utils/token_counter|(?:/claude_code_gateway)?/v1/messages/count_tokens|{_V}/responses/input_tokens"
        r"|(?:/v1beta)?/models/.+:countTokens",
    ),
    Uncovered(
        "transcription",
        "the text of what is heard; the prompt is judged",
        rf"{_V}/audio/transcriptions",
        ("atranscription", "transcription"),
    ),
    Uncovered(
        "vector_stores",
        "what is stored, searched and found",
        rf"{_V}/(?:vector_stores|indexes)(?:/.*)?",
        (
            "avector_store_create",
            "avector_store_delete",
            "avector_store_file_content",
            "avector_store_file_create",
            "avector_store_file_delete",
            "avector_store_file_list",
            "avector_store_file_retrieve",
            "avector_store_file_update",
            "avector_store_list",
            "avector_store_retrieve",
            "avector_store_search",
            "avector_store_update",
        ),
    ),
    Uncovered(
        "videos",
        "prompts of videos, and the videos",
        rf"{_V}/videos(?:/.*)?",
        (
            "acreate_video",
            "avideo_content",
            "avideo_create_character",
            "avideo_edit",
            "avideo_extension",
            "avideo_generation",
            "avideo_get_character",
            "avideo_list",
            "avideo_remix",
            "avideo_status",
        ),
    ),
)
"""In the order of their names. `check --litellm` shows them."""

# Some of these look like a provider's pass-through.
_GOVERNED: Final = re.compile(
    rf"{_V}/(?:chat/completions|completions|embeddings|moderations|rerank|responses|audio/speech"
    r"|images/(?:edits|generations))"
    r"|/v2/rerank|(?:/cursor)?/chat/completions"
    r"|/(?:engines|openai/deployments)/.+/(?:chat/completions|completions|embeddings|images/(?:edits|generations))"
    r"|(?:/claude_code_gateway)?/v1/messages"
    r"|(?:/v1beta)?/models/.+:(?:generateContent|streamGenerateContent)"
    # Lists of models are nobody's text.
    r"|/cursor/(?:v1/)?models"
    r"|/mcp-rest/tools/(?:call|list)|/toolset/[^/]+/mcp",
    re.DOTALL,  # a part of an address can hold a line break
)
# What LiteLLM serves elsewhere comes first: a file or a provider, too, can be called `mcp`.
_SERVER: Final = re.compile(r"/mcp(?:/.*)?|/[^/]+/mcp", re.DOTALL)
# The particular before the general.
_LAST: Final = ("files", "pass_through")
_PATHS: Final = [
    (one.name, re.compile(one.paths, re.DOTALL))
    for one in sorted(
        UNCOVERED, key=lambda one: (one.name in _LAST, _LAST.index(one.name) if one.name in _LAST else 0)
    )
]
_CALLS: Final[Mapping[str, str]] = {call: one.name for one in UNCOVERED for call in one.calls}


@lru_cache(maxsize=1024)
def uncovered_path(path: str) -> str | None:
    """The name of what an address serves; None where it is governed or serves no model."""
    if _GOVERNED.fullmatch(path):
        return None
    return next((name for name, pattern in _PATHS if pattern.fullmatch(path)), None)


def governed(path: str) -> bool:
    """Whether calls of this address come to the guard's hooks before and after."""
    if _GOVERNED.fullmatch(path):
        return True
    return _SERVER.fullmatch(path) is not None and uncovered_path(path) is None


def uncovered_call(call_type: str) -> str | None:
    """The name of what a call of LiteLLM's serves; None where it is governed or unknown."""
    return _CALLS.get(call_type)


def allowed(settings: Mapping[str, Literal["allow", "deny"]], name: str | None) -> bool:
    """Whether the settings let it pass."""
    return name is not None and settings.get(name) == "allow"


def check_names(names: Iterable[str]) -> None:
    """Check the names that the settings list.

    Raises:
        SettingsError: there is no such endpoint.
    """
    known = [one.name for one in UNCOVERED]
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, 1)
            step = f"is `{near[0]}` meant?" if near else f"these are: {', '.join(known)}"
            raise SettingsError(f"`uncovered.{name}` is no endpoint of LiteLLM's; {step}")
