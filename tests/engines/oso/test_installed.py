"""Where Oso is not to be had, the error names the next step."""

import importlib
import importlib.metadata
import importlib.util
import platform
import sys

import pytest

import checkrein_oso
from checkrein import MissingExtraError, SettingsError


def check(monkeypatch, *, found, python=(3, 12, 1), system="linux", machine="x86_64"):
    def version(_):
        if found is None:
            raise importlib.metadata.PackageNotFoundError
        return found

    monkeypatch.setattr(checkrein_oso, "version", version)
    monkeypatch.setattr(checkrein_oso, "find_spec", lambda _: found)
    monkeypatch.setattr(sys, "version_info", python)
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    checkrein_oso._check_library()


def test_the_installed_library_is_the_known_one():
    checkrein_oso._check_library()
    assert importlib.metadata.version("oso") == checkrein_oso._KNOWN


@pytest.mark.parametrize(
    ("system", "machine"), [("linux", "x86_64"), ("darwin", "arm64"), ("win32", "AMD64")]
)
def test_a_missing_library_names_the_extra_where_there_is_a_wheel(monkeypatch, system, machine):
    with pytest.raises(MissingExtraError, match=r"pip install 'checkrein\[oso\]'"):
        check(monkeypatch, found=None, system=system, machine=machine)


@pytest.mark.parametrize(
    ("python", "system", "machine"),
    [((3, 13, 0), "linux", "x86_64"), ((3, 14, 0), "darwin", "arm64"), ((3, 12, 0), "linux", "aarch64")],
)
def test_where_no_wheel_exists_pip_is_not_named(monkeypatch, python, system, machine):
    with pytest.raises(SettingsError, match="has wheels for") as error:
        check(monkeypatch, found=None, python=python, system=system, machine=machine)
    assert not isinstance(error.value, MissingExtraError)
    assert f"{system} {machine}" in str(error.value)
    assert "pip install" not in str(error.value)


@pytest.mark.parametrize("found", ["0.27.2", "0.28.0", "1.0.0"])
def test_another_release_is_refused_because_its_interface_is_not_known(monkeypatch, found):
    with pytest.raises(SettingsError, match=r"install `oso==0\.27\.3`"):
        check(monkeypatch, found=found)
