"""Functions that an operator adds to matchers: asked, and never more than asked."""

import pytest
from subject_properties import PROPERTIES

from checkrein.errors import EngineFailure, FailureCause, PolicyLoadError, SettingsError
from checkrein.vocabulary import Effect
from checkrein_casbin.options import CasbinOptions


class TestFunctionsOfTheOperator:
    def test_they_are_asked(self, load, asked, rules):
        engine = load(
            rules,
            "p, ask, within(r.subject, 'level', 5), allow,\n",
            functions={"within": lambda subject, key, most: subject["properties"][key] <= most},
        )
        assert engine.evaluate(asked(act="ask", properties={"level": 5})).effect is Effect.PERMIT
        assert engine.evaluate(asked(act="ask", properties={"level": 6})).effect is Effect.NOT_APPLICABLE

    def test_what_they_raise_or_answer_is_no_permit(self, load, asked, rules):
        def broken(_):
            raise ValueError("hello is in here")

        for function in (broken, lambda _: "yes", lambda _: 1, lambda _: None):
            engine = load(rules, "p, ask, check(r.subject), allow,\n", functions={"check": function})
            with pytest.raises(EngineFailure) as failure:
                engine.evaluate(asked(act="ask"))
            assert failure.value.cause is FailureCause.ENGINE_ERROR
            assert "hello" not in str(failure.value)

    def test_they_change_nothing_of_a_request(self, load, asked, rules):
        seen = []

        def look(*given):
            seen.extend(given)
            return True

        engine = load(
            rules,
            "p, ask, look(r.subject, r.subject.deep, r.subject.roles), allow,\n",
            functions={"look": look},
        )
        engine.evaluate(asked(act="ask", properties=PROPERTIES))
        subject, deep, roles = seen
        for attempt in (
            lambda: subject.update({}),
            lambda: subject["properties"].__setitem__("tier", "x"),
            lambda: deep.__setitem__("er", 1),
            lambda: deep["er"].__setitem__("x", 1),
            lambda: roles.append("admin"),
        ):
            with pytest.raises(AttributeError):
                attempt()
        assert (len(deep), list(deep), subject["properties"]["roles"]) == (1, ["er"], ("analyst", "staff"))
        assert "pro" not in repr(subject)

    def test_they_may_stand_in_for_what_is_refused(self, load, asked, rules):
        engine = load(
            rules, "p, ask, regexMatch(r.sub, 'user:.*'), allow,\n", functions={"regexMatch": lambda *_: True}
        )
        assert engine.evaluate(asked(act="ask")).effect is Effect.PERMIT

    def test_they_are_named_in_the_settings(self, load, asked, rules):
        engine = load(
            rules, "p, ask, same(r.sub, 'user:alice'), allow,\n", functions_={"same": "operator:eq"}
        )
        assert engine.evaluate(asked(act="ask")).effect is Effect.PERMIT
        assert engine.evaluate(asked("bob", act="ask")).effect is Effect.NOT_APPLICABLE

    @pytest.mark.parametrize(
        "named", ["no_such_module:eq", "operator:no_such", "operator:__name__", "asyncio:sleep"]
    )
    def test_one_that_cannot_be_called_is_an_error(self, load, rules, named):
        with pytest.raises(SettingsError, match=named):
            load(rules, "", functions_={"same": named})

    def test_one_with_the_name_of_a_role_graph_is_an_error(self, load):
        with pytest.raises(PolicyLoadError, match=r"`functions.g` has the name of a role graph"):
            load(functions={"g": lambda *_: True})

    @pytest.mark.parametrize("name", ["has", "eval", "keyMatch", "contains", "ipMatch"])
    def test_they_do_not_take_the_name_of_another(self, options, name):
        with pytest.raises(ValueError, match="name of a function that there is"):
            CasbinOptions.model_validate(
                {"model": options().model, "policy": options().policy, "functions": {name: "operator:eq"}}
            )
