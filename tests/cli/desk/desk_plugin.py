"""A third party's plug-in, found by its entry points: an engine, a detector and a host, easy to foresee."""

import re
from types import SimpleNamespace

from checkrein.detection import Span
from checkrein.engine import EngineOptions, NativeTestResult
from checkrein.errors import EngineFailure
from checkrein.testing import deny, not_applicable, obligation, permit
from checkrein.vocabulary import Stage, Verdict

ALL = frozenset(Stage)


class Desk:
    """Answers by what stands in the prompt and by the subject's tier."""

    class Options(EngineOptions):
        remote: bool = False
        fails: str | None = None
        late: int = 0
        breaks: bool = False
        own_tests: dict[str, bool] | None = None

    @classmethod
    def from_options(cls, options):
        if options.breaks:
            raise ZeroDivisionError("a fault of the plug-in")
        return cls(options)

    def __init__(self, options):
        self.name, self.remote, self.options = options.name, options.remote, options
        self.stages = frozenset(options.stages or ALL)
        self.revision = "r7"
        self.late = options.late

    def entrypoint(self, stage):
        return f"desk.{stage}" if stage in self.stages else None

    def run_native_tests(self):
        tests = self.options.own_tests or {}
        if "cannot run" in tests:
            raise RuntimeError("the desk is closed")
        return [
            NativeTestResult(name=name, passed=passed, detail="" if passed else "the desk said no")
            for name, passed in tests.items()
        ]

    def evaluate(self, request):
        if self.late:
            self.late -= 1
            raise EngineFailure("timeout", "not yet")
        if self.options.fails:
            raise EngineFailure(self.options.fails, "as told")
        answer = getattr(self, f"at_{request.stage}")(request.document)
        return Verdict(
            effect=answer.effect,
            reasons=answer.reasons,
            obligations=answer.obligations,
            policy_ids=(f"desk.{request.stage}",),
            revision=self.revision,
        )

    def at_model_selection(self, document):
        if document["resource"]["id"] == "auto":
            return permit(obligation("route", model="small"), obligation("limit_tokens", max_tokens=64))
        large = document["resource"]["properties"].get("size") == "large"
        if large and document["subject"]["properties"].get("tier") == "free":
            return deny("tier.model_size", "a free tier may use small models")
        return permit()

    def at_pre_prompt(self, document):
        if "forbidden" in document["context"]["prompt"]["text"]:
            return deny("prompt.forbidden", f"said: {document['context']['prompt']['text']}")
        if document["context"]["findings"]:
            return permit(obligation("redact", types=["digit"]), reasons=["digits.taken_out"])
        return permit()

    def at_post_completion(self, document):
        found = document["context"]["findings"]
        return permit(obligation("redact", types=["digit"])) if found else permit()

    def at_tool_call(self, document):
        if document["resource"]["id"] == "send":
            return permit(obligation("require_approval", approvers=["boss"]))
        return not_applicable()

    def at_tool_result(self, document):
        return permit(obligation("replace", text="[withheld]"))

    def close(self):
        pass


def scanner(types):
    return lambda text: [Span("digit", hit.start(), hit.end()) for hit in re.finditer(r"\d+", text)]


digits = SimpleNamespace(max_spans={"digit": None}, scanner=scanner)


def probe(config):
    """What the check of a host gives back: here, one result for each word of the file."""
    words = config.read_text().split()
    return [
        SimpleNamespace(stage=Stage.PRE_PROMPT, what=word, ok=word != "hole", detail="seen") for word in words
    ]
