"""The settings file: strict, and every error names file, line and the next step."""

import dataclasses

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from checkrein import plugins
from checkrein.enforcement import EnforcementPoint
from checkrein.engine import EngineOptions
from checkrein.errors import SettingsError
from checkrein.loading import load
from checkrein.strict import Secret
from checkrein.testing import StaticEngine, permit
from checkrein.vocabulary import Stage


class FixedEngine(StaticEngine):
    class Options(EngineOptions):
        token: Secret | None = None

    @classmethod
    def from_options(cls, options):
        engine = cls(permit(), name=options.name, stages=frozenset(options.stages or Stage))
        engine.options = options
        return engine


@dataclasses.dataclass
class Point:
    loaded: object

    def load(self):
        return self.loaded


@pytest.fixture(autouse=True)
def fixed_engine(monkeypatch):
    real = plugins.available
    extra = {"engine": {"fixed": Point(FixedEngine)}, "detector": {"email": Point(None)}}

    def together(kind):
        return {**real(kind), **extra.get(kind, {})}

    for module in ("checkrein.plugins", "checkrein.building", "checkrein.loading"):
        monkeypatch.setattr(f"{module}.available", together)


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "checkrein.yaml"
        path.write_text(text)
        return path

    return write


MINIMAL = "version: 1\nengine: {fixed: {}}\n"


def test_the_smallest_file_is_a_version_and_an_engine(file):
    loaded = load(file(MINIMAL))
    assert [engine.name for engine in loaded.engine.engines] == ["fixed"]
    assert loaded.settings.enforcement.default == "enforce"
    assert loaded.settings.decision_log.content == "facts"


def test_no_file_is_ever_found_by_itself(file, monkeypatch):
    path = file(MINIMAL)
    monkeypatch.chdir(path.parent)
    monkeypatch.delenv("CHECKREIN_CONFIG", raising=False)
    with pytest.raises(SettingsError, match="CHECKREIN_CONFIG"):
        load()
    monkeypatch.setenv("CHECKREIN_CONFIG", str(path))
    assert load().path == path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "version: 1\nengine: {fixed: {}}\nlimts: {}\n",
            ":3: `limts` is no known key; did you mean `limits`",
        ),
        (
            MINIMAL + "limits:\n  text: 1\n  dept: 2\n",
            ":5: `limits.dept` is no known key; did you mean `depth`",
        ),
        (
            MINIMAL + "enforcement:\n  rules:\n    - mode: monitor\n      stage: [pre_prompt]\n",
            r":6: `enforcement.rules\[0\].stage` is no known key; did you mean `stages`",
        ),
        ("engine: {fixed: {}}\n", ":1: `version` is missing"),
        ("verson: 1\nengine: {fixed: {}}\n", ":1: `verson` is no known key; did you mean `version`"),
        ("version: 1\n", ":1: `engine` is missing"),
        ("version: 2\nengine: {fixed: {}}\n", ":1: `version` "),
        (MINIMAL + "limits: {depth: '4'}\n", ":3: `limits.depth` "),
        (MINIMAL + "limits: {text: true}\n", ":3: `limits.text` "),
        (MINIMAL + "limits: {text: 0}\n", ":3: `limits.text` "),
        (MINIMAL + "unchecked: [tool_results]\n", r":3: `unchecked\[0\]` "),
        (MINIMAL + "failure: {open_on: {pre_prompt: [engine_error]}}\n", "`engine_error` cannot open"),
        (MINIMAL + "detectors:\n  pre_prompt: [emial]\n", ":4: .*`emial` is no installed detector.*`email`"),
        (
            "version: 1\nengine: {fxed: {}}\n",
            ":2: `engine.fxed` is no installed engine; did you mean `fixed`",
        ),
        ("version: 1\nengine:\n  fixed:\n    nme: x\n", ":4: `engine.fixed.nme` is no known key.*`name`"),
        ("version: 1\nengine: {fixed: {}, all: []}\n", "must have exactly one key"),
        ("version: 1\nengine: {all: []}\n", "must be a list of nodes"),
        ("version: 1\nengine: {by: {key: a}}\n", "takes `key`, `cases`"),
        ("version: 1\nversion: 1\nengine: {fixed: {}}\n", ":2: the key `version` is there twice"),
        ("version: 1\nengine: {fixed: &x {}}\nlimits: *x\n", "alias"),
        ("version: 1\nengine: {<<: {}}\n", "plain string"),
        ("version: 1\nengine: !!python/object:os.system {}\n", "engine"),
        ("version: 1\nengine: [\n", "not valid yaml"),
        ("- 1\n", "must be a mapping"),
        (
            "version: 1\nengine: {fixed: {name: '${NOT_SET_ANYWHERE}'}}\n",
            ":2: .*`NOT_SET_ANYWHERE` is not set",
        ),
        ("version: 1\nengine: {fixed: {token: {file: nowhere}}}\n", "`nowhere` cannot be read"),
        ("version: 1\nengine: {fixed: {token: {fil: nowhere}}}\n", "`{file: path}`"),
        (MINIMAL + "decision_log: {content: masked}\n", "no detector is named for `pre_prompt`"),
        ("version: 1\nengine: " + "{all: [" * 100 + "]}" * 100 + "\n", "nested deeper"),
    ],
)
def test_a_bad_file_is_one_clear_error(file, text, message):
    with pytest.raises(SettingsError, match=message) as caught:
        load(file(text))
    assert "\n" not in str(caught.value)


def test_a_missing_file_says_so(tmp_path):
    with pytest.raises(SettingsError, match=r"`.*none.yaml` cannot be read: no such file"):
        load(tmp_path / "none.yaml")


def test_variables_and_secret_files_are_filled_in_and_never_shown(file, monkeypatch, tmp_path):
    monkeypatch.setenv("ENGINE_NAME", "front")
    (tmp_path / "token").write_text("hunter2\n")
    loaded = load(file("version: 1\nengine: {fixed: {name: 'my-${ENGINE_NAME}', token: {file: token}}}\n"))
    (engine,) = loaded.engine.engines
    assert engine.name == "my-front"
    assert engine.options.token.get_secret_value() == "hunter2"
    assert "hunter2" not in repr(loaded)


def test_a_variable_does_not_change_the_revision(file, monkeypatch):
    path = file("version: 1\nengine: {fixed: {name: '${ENGINE_NAME}'}}\n")
    revisions = set()
    for name in ("one", "two"):
        monkeypatch.setenv("ENGINE_NAME", name)
        revisions.add(load(path).revision)
    assert len(revisions) == 1
    path.write_text(path.read_text() + "# changed\n")
    assert load(path).revision not in revisions


def test_a_value_in_an_error_is_never_repeated(file, monkeypatch):
    monkeypatch.setenv("A_SECRET", "hunter2")
    with pytest.raises(SettingsError) as caught:
        load(file(MINIMAL + "limits: {text: '${A_SECRET}'}\n"))
    assert "hunter2" not in str(caught.value)


def test_a_hooked_stage_that_nothing_covers_stops_the_start_unless_it_is_listed(file):
    text = "version: 1\nengine: {fixed: {stages: [pre_prompt]}}\n"
    pep = EnforcementPoint.from_settings(file(text), record=[].append)
    pep.require([Stage.PRE_PROMPT])
    with pytest.raises(SettingsError, match="no engine covers the stage `post_completion`"):
        pep.require([Stage.PRE_PROMPT, Stage.POST_COMPLETION])
    listed = file(text + "unchecked: [post_completion]\n")
    EnforcementPoint.from_settings(listed, record=[].append).require([*Stage][1:3])


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(
    limits=st.fixed_dictionaries(
        {}, optional={"text": st.integers(1, 2**40), "depth": st.integers(1, 200), "segments": st.integers(1)}
    ),
    models=st.dictionaries(
        st.text(max_size=6), st.dictionaries(st.text(max_size=6), PLAIN, max_size=3), max_size=3
    ),
    messages=st.dictionaries(
        st.text(max_size=6),
        st.dictionaries(st.text(max_size=2), st.text().map(lambda text: text.replace("{", ""))),
        max_size=2,
    ),
)
def test_what_is_written_is_what_is_read(tmp_path_factory, limits, models, messages):
    path = tmp_path_factory.mktemp("settings") / "checkrein.yaml"
    written = {
        "version": 1,
        "engine": {"fixed": {}},
        "limits": limits,
        "models": models,
        "denials": {"messages": messages},
    }
    path.write_text(yaml.safe_dump(written))
    assume("${" not in path.read_text())
    settings = load(path).settings
    assert settings.limits.model_dump(exclude_unset=True) == limits
    assert settings.models == models
    assert settings.denials.messages == messages
