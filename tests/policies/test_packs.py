"""Every shipped pack loads in each of its languages, answers alike in all, and explains its reasons."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import checkrein_policies
from checkrein import detection
from checkrein.building import build_engine
from checkrein.detection import Span
from checkrein.enforcement import EnforcementPoint
from checkrein.loading import load
from checkrein.scenarios import load_scenarios, run_scenario
from checkrein.vocabulary import Stage

PACKS = sorted(path.parent for path in Path(checkrein_policies.__file__).parent.glob("*/pack.yaml"))
TOLD = {pack: yaml.safe_load((pack / "pack.yaml").read_text()) for pack in PACKS}
LANGUAGES = {"rego": "rego", "cedar": "cedar", "casbin": "casbin", "polar": "oso"}
"""The engine of each language, by the folder of a pack that holds its policies."""
BACKENDS = ("regopy", "regorus")
WORDS = {"dividend": "topic_finance", "lawsuit": "topic_legal", "dose": "topic_medical", "numbskull": "toxic"}
CLASSIFIED = Path(__file__).parent / "content_with_a_classifier.yaml"
KERNEL_CODES = {"unsupported_obligation", "failure.engine_error"}
"""What the enforcement point says by itself, and no pack needs to explain."""


def _variants() -> Iterator[tuple[Path, str, dict]]:
    for pack in PACKS:
        for language, kind in LANGUAGES.items():
            if not (pack / language).is_dir():
                continue
            options = TOLD[pack]["engines"][kind]
            for backend in BACKENDS if kind == "rego" else (None,):
                yield pack, language, {kind: {**options, "backend": backend} if backend else options}


def _id(variant: tuple[Path, str, dict]) -> str:
    pack, language, node = variant
    return "-".join((pack.name, language, *(filter(None, [node[LANGUAGES[language]].get("backend")]))))


def _scenario_files(pack: Path, language: str | None = None) -> Iterator[Path]:
    """The file of all languages, and those of this one: `scenarios.only-rego-polar.yaml`."""
    yield pack / "scenarios.yaml"
    for file in sorted(pack.glob("scenarios.only-*.yaml")):
        if language is None or language in file.stem.removeprefix("scenarios.only-").split("-"):
            yield file


@pytest.fixture(params=PACKS, ids=lambda pack: pack.name)
def pack(request):
    return request.param


@pytest.fixture(params=_variants(), ids=_id)
def variant(request):
    return request.param


@pytest.fixture
def settings(variant):
    return load(variant[0] / "settings.yaml").settings


@pytest.fixture
def pep(variant, settings):
    pack, _, node = variant
    point = EnforcementPoint(build_engine(node, base=pack), settings, record=lambda _: None)
    yield point
    point.close()


class WordList:
    """A classifier as an operator could plug it in: a word tells the topic."""

    def __init__(self):
        self.max_spans = {found: len(word) for word, found in WORDS.items()}

    def scanner(self, types):
        pattern = re.compile("|".join(word for word, found in WORDS.items() if found in types))
        return lambda text: [Span(WORDS[hit[0]], *hit.span()) for hit in pattern.finditer(text)]


@pytest.fixture
def classified(variant, settings, monkeypatch):
    """The content pack with a classifier beside the shipped detectors."""
    pack, _, node = variant
    shipped = detection.load_plugin
    monkeypatch.setattr(
        detection,
        "load_plugin",
        lambda group, name: WordList() if name in WORDS.values() else shipped(group, name),
    )
    topics = [name for name in WORDS.values() if name.startswith("topic_")]
    detectors = {stage: [*names] for stage, names in settings.detectors.items()}
    detectors[Stage.PRE_PROMPT] += topics
    detectors[Stage.POST_COMPLETION] += ["toxic"]
    point = EnforcementPoint(
        build_engine(node, base=pack),
        settings.model_copy(update={"detectors": detectors}),
        record=lambda _: None,
    )
    yield point
    point.close()


def test_every_scenario_holds(pep, variant):
    pack, language, _ = variant
    for file in _scenario_files(pack, language):
        results = [run_scenario(pep, scenario) for scenario in load_scenarios(file)]
        assert results
        assert [(result.scenario.name, result.failures) for result in results if not result.passed] == []


@pytest.mark.parametrize(
    "variant", [one for one in _variants() if one[0].name == "content"], indirect=True, ids=_id
)
def test_topics_and_toxic_words_count_where_a_classifier_finds_them(classified):
    results = [run_scenario(classified, one) for one in load_scenarios(CLASSIFIED)]
    assert results
    assert [(result.scenario.name, result.failures) for result in results if not result.passed] == []


def test_every_native_test_holds(pep, variant):
    _, language, _ = variant
    (engine,) = pep.node.engines
    if language not in ("rego", "polar"):
        assert not hasattr(engine, "run_native_tests"), "its packs need native tests"
        return
    results = engine.run_native_tests()
    assert results
    assert [(result.name, result.detail) for result in results if not result.passed] == []


def test_a_pack_covers_the_stages_that_it_says_it_decides(pep, variant):
    pack, language, _ = variant
    (engine,) = pep.node.engines
    told = TOLD[pack]["entrypoints"]
    assert {stage.value for stage in engine.stages} == set(told)
    if language == "rego":
        assert {stage.value: engine.entrypoint(stage) for stage in engine.stages} == told


def test_the_settings_of_a_pack_ask_its_rego_policy(pack):
    assert dict(load(pack / "settings.yaml").settings.engine) == {"rego": TOLD[pack]["engines"]["rego"]}


def test_the_engines_of_a_pack_are_those_of_its_folders(pack):
    kinds = {kind for language, kind in LANGUAGES.items() if (pack / language).is_dir()}
    assert set(TOLD[pack]["engines"]) == kinds | {"opa"}


def test_a_language_that_cannot_say_a_rule_has_scenarios_that_show_the_others_can(pack):
    shown = {language for file in pack.glob("scenarios.only-*.yaml") for language in _languages(file)}
    for language, rules in TOLD[pack].get("not_in", {}).items():
        assert (pack / language).is_dir()
        assert rules
        assert shown - {language}


def test_scenarios_of_some_languages_name_languages_of_the_pack(pack):
    for file in pack.glob("scenarios.only-*.yaml"):
        assert all((pack / language).is_dir() for language in _languages(file)), file.name


def _languages(file: Path) -> list[str]:
    return file.stem.removeprefix("scenarios.only-").split("-")


def test_each_reason_that_the_scenarios_expect_is_explained_and_has_a_message_for_callers(pack):
    told = TOLD[pack]["reasons"]
    messages = load(pack / "settings.yaml").settings.denials.messages
    families = {code.removesuffix("*") for code in told if code.endswith("*")}
    expected: set[str] = set()
    for file in _scenario_files(pack):
        for scenario in load_scenarios(file):
            expected |= scenario.expect.reasons or set()
    for code in expected - KERNEL_CODES:
        assert code in told or any(code.startswith(family) for family in families), code
        assert code in messages, code
    for code in told:
        family = code.removesuffix("*")
        assert any(one == code or (family != code and one.startswith(family)) for one in expected), code


def test_the_settings_of_a_pack_name_the_detectors_that_it_says_it_needs(pack):
    settings = load(pack / "settings.yaml").settings
    named = {stage.value: sorted(names) for stage, names in settings.detectors.items()}
    assert named == TOLD[pack].get("detectors", {})
