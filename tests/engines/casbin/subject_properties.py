"""What is told of the subject that expressions are judged for."""

PROPERTIES = {
    "tier": "pro",
    "level": 3,
    "ratio": 0.5,
    "admin": True,
    "guest": False,
    "zero": 0,
    "one": 1,
    "empty": "",
    "text": "True",
    "nothing": None,
    "roles": ["analyst", "staff"],
    "flags": [True, 2],
    "deep": {"er": {"x": 1}},
    "odd-name": "x",
    "id": "not the id",
}
