"""Which models may each of these people invoke? Asked of the policies at once, before anybody picks one.

python examples/oso/run.py
"""

from __future__ import annotations

from pathlib import Path

from checkrein import EnforcementPoint, Entity
from checkrein_oso import OsoEngine

PEOPLE = (
    Entity(type="user", id="fred", properties={"tier": "free"}),
    Entity(type="user", id="emma", properties={"tier": "pro", "region": "eu"}),
    Entity(type="user", id="sam", properties={"tier": "pro", "region": "eu", "data_class": 3}),
    Entity(type="user", id="ed", properties={"tier": "enterprise"}),
    Entity(type="anonymous", id="anonymous"),
)


def main() -> None:
    """Print a line for each."""
    pep = EnforcementPoint.from_settings(Path(__file__).resolve().parent / "settings.yaml")
    (engine,) = pep.node.engines
    if not isinstance(engine, OsoEngine):
        raise TypeError("these settings are not of this example")
    models = [Entity(type="model", id=name, properties=facts) for name, facts in pep.settings.models.items()]
    for person in PEOPLE:
        print(f"{person.id:<10} {', '.join(engine.permitted_models(person, models)) or 'none'}")
    pep.close()


if __name__ == "__main__":
    main()
