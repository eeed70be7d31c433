"""Points whose denials are replied to."""

import pytest

REPLY = {"on_denied": "reply", "messages": {"no": {"en": "Ask something else. Ref {decision_id}"}}}


@pytest.fixture
def replying(lab):
    """Makes an enforcement point whose denials are replied to."""

    def make(answers=None, **options):
        return lab.govern(answers, denials=REPLY, **options)

    return make
