"""What the package shows is listed, sorted and documented."""

import pkgutil
from importlib import import_module

import checkrein_langchain

MODULES = [
    import_module(f"checkrein_langchain.{one.name}")
    for one in pkgutil.iter_modules(checkrein_langchain.__path__)
]


def test_public_names_are_sorted_and_there():
    for module in (checkrein_langchain, *MODULES):
        assert module.__all__ == sorted(module.__all__, key=lambda name: (not name.isupper(), name)), module
        assert all(hasattr(module, name) for name in module.__all__), module


def test_public_names_say_what_they_are():
    for module in (checkrein_langchain, *MODULES):
        assert module.__doc__
        for name in module.__all__:
            one = getattr(module, name)
            if callable(one) and getattr(one, "__module__", "").startswith("checkrein_langchain"):
                assert one.__doc__, name
