"""A client's questions to a provider, and what is left of one."""

import threading

import httpx
import openai

HELLO = [{"role": "user", "content": "hello"}]


def ask(upstream, content="hello", **options):
    with openai.OpenAI(base_url=upstream.url, api_key="none", max_retries=0) as client:
        messages = [{"role": "user", "content": content}]
        answer = client.chat.completions.create(model="m", messages=messages, **options)
        return answer.choices[0].message.content


def open_stream(upstream, stack):
    client = stack.enter_context(openai.OpenAI(base_url=upstream.url, api_key="none", max_retries=0))
    return stack.enter_context(client.chat.completions.create(model="m", messages=HELLO, stream=True))


def port_of(upstream):
    return httpx.URL(upstream.url).port


ELSEWHERE = set()


def threads_of_upstreams():
    running = [thread for thread in threading.enumerate() if thread.name.startswith("upstream")]
    return [thread for thread in running if thread not in ELSEWHERE]
