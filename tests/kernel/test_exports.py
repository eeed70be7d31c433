"""What is public is listed, sorted and there; what a package exports is all that its modules offer."""

import importlib
import pkgutil

import pytest

import checkrein
import checkrein.testing


def modules():
    for package in (checkrein,):
        yield package.__name__
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.rpartition(".")[2].startswith("_"):
                yield module.name


def as_the_linter_sorts(name):
    """Constants, then classes, then the rest."""
    return (not name.isupper(), not name[0].isupper(), name)


@pytest.mark.parametrize("name", sorted(modules()))
def test_every_module_lists_what_it_exports_sorted(name):
    module = importlib.import_module(name)
    exported = module.__all__
    assert list(exported) == sorted(exported, key=as_the_linter_sorts)
    assert all(hasattr(module, item) for item in exported)


def test_every_exception_that_a_caller_can_catch_is_exported():
    errors = importlib.import_module("checkrein.errors")
    internal = {"RequestError"}
    assert set(errors.__all__) - internal <= set(checkrein.__all__)
