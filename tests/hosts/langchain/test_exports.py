"""What the package shows is listed, sorted and documented, and a sub-package shows nothing of its own."""

import pkgutil
from importlib import import_module

import checkrein_langchain

FOUND = list(pkgutil.walk_packages(checkrein_langchain.__path__, "checkrein_langchain."))
PACKAGES = [import_module(one.name) for one in FOUND if one.ispkg]
MODULES = [import_module(one.name) for one in FOUND if not one.ispkg]


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


def test_every_name_has_one_place_and_a_sub_package_only_says_what_it_holds():
    modules = {one.__name__ for one in (*MODULES, *PACKAGES)}

    for package in PACKAGES:
        assert package.__doc__
        shown = {name for name in vars(package) if not name.startswith("__")}
        assert all(f"{package.__name__}.{name}" in modules for name in shown), package
