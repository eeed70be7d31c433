"""Every governed endpoint of a proxy: how it is called, and what it tells of a denial."""

from __future__ import annotations


def google(text):
    return {"contents": [{"role": "user", "parts": [{"text": text}]}]}


def messages(text):
    return {"max_tokens": 50, "messages": [{"role": "user", "content": text}]}


# By name: the address, the model, and the body for a text.
ENDPOINTS = {
    "chat": ("/v1/chat/completions", "gpt-4o", lambda text: {"messages": messages(text)["messages"]}),
    "completions": ("/v1/completions", "gpt-4o", lambda text: {"prompt": text}),
    "completions of a provider that has them": (
        "/v1/completions",
        "completer",
        lambda text: {"prompt": text},
    ),
    "completions of several": ("/v1/completions", "gpt-4o", lambda text: {"prompt": ["first", text]}),
    "messages": ("/v1/messages", "claude", messages),
    "messages over a bridge": ("/v1/messages", "gpt-4o", messages),
    "responses": ("/v1/responses", "gpt-4o", lambda text: {"input": text}),
    "responses with items": (
        "/v1/responses",
        "gpt-4o",
        lambda text: {"input": [{"role": "user", "content": [{"type": "input_text", "text": text}]}]},
    ),
    "responses over a bridge": ("/v1/responses", "claude", lambda text: {"input": text}),
    "generateContent": ("/v1beta/models/gemini:generateContent", "gemini", google),
    "generateContent over a bridge": ("/v1beta/models/gpt-4o:generateContent", "gpt-4o", google),
    "embeddings": ("/v1/embeddings", "gpt-4o", lambda text: {"input": text}),
    "embeddings of several": ("/v1/embeddings", "gpt-4o", lambda text: {"input": ["first", text]}),
    "images": ("/v1/images/generations", "gpt-4o", lambda text: {"prompt": text}),
    "image edits": ("/v1/images/edits", "gpt-4o", lambda text: {"prompt": text}),
    "moderations": ("/v1/moderations", "gpt-4o", lambda text: {"input": text}),
    "rerank": ("/v1/rerank", "ranker", lambda text: {"query": text, "documents": ["one", "two"]}),
    "rerank documents": ("/v1/rerank", "ranker", lambda text: {"query": "which", "documents": ["one", text]}),
    "speech": ("/v1/audio/speech", "gpt-4o", lambda text: {"input": text, "voice": "alloy"}),
}
FORMS = {"image edits": {"image": ("a.png", b"\x89PNG" + b"x" * 80, "image/png")}}
# What gives text back that LiteLLM shows to its hooks.
ANSWERING = [
    "chat",
    "completions",
    "completions of a provider that has them",
    "messages",
    "messages over a bridge",
    "responses",
    "responses over a bridge",
    "generateContent",
    "generateContent over a bridge",
    "images",
    "image edits",
]
ANSWERS = {*ANSWERING, "completions of several", "responses with items"}


def send(proxy, name, person, text, model=None, **more):
    path, usual, body = ENDPOINTS[name]
    path = path.replace(f"models/{usual}:", f"models/{model or usual}:")
    fields = {**body(text), **more, "model": model or more.get("model", usual)}
    if name in FORMS:
        return proxy.form(path, person, fields, FORMS[name])
    return proxy.post(path, person, **fields)


def sent(proxy):
    return "\n".join(request.raw.decode(errors="replace") for request in proxy.upstream.requests)


def told(answer):
    """The error, in the shape of its endpoint."""
    assert answer.status_code == 403, answer.text
    return answer.json()["error"]
