"""Governed routers over real clients, verdicts by the model's name, and what is then called and recorded."""

from types import SimpleNamespace

from checkrein.testing import deny, obligation, permit
from checkrein_langchain import PolicyRouter

NAMES = {"small": "gpt-4o-mini", "large": "gpt-4o", "local": "llama"}


def models_of(lab, names=NAMES, **options):
    return {name: lab.chat(model, **options) for name, model in names.items()}


def routed(lab, answers=None, *, names=NAMES, options=None, prefer=(), **settings):
    """A router over real clients, with an enforcement point that permits everything but what is told."""
    point = lab.govern(answers, **settings)
    router = PolicyRouter(models=models_of(lab, names, **(options or {})), pep=point.pep, prefer=prefer)
    return SimpleNamespace(router=router, records=point.records, pep=point.pep)


def of(question):
    return question.document["resource"]["id"]


def only(*names):
    return lambda question: permit() if of(question) in names else deny("model.forbidden")


def route_to(name):
    return lambda question: permit() if of(question) == name else permit(obligation("route", model=name))


def called(lab):
    return [request.body["model"] for request in lab.upstream.requests]


def asked(records):
    return [(one.request.stage, one.request.resource.id) for one in records]


def body(lab):
    (request,) = lab.upstream.requests
    return request.body
