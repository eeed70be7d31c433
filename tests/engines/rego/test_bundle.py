"""A bundle as a folder and as an OPA archive: what is read, what is refused, what its revision says."""

import gzip
import io
import json
import os
import tarfile

import pytest

from checkrein.errors import PolicyLoadError
from checkrein_rego.bundle import load_bundle

POLICY = "package checkrein.pre_prompt\n\ndecision := true\n"


def pack(path, files, *, slash="/", kind=tarfile.REGTYPE):
    """An archive as `opa build` writes it, names with a slash in front."""
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files:
            member = tarfile.TarInfo(f"{slash}{name}")
            data = content.encode() if isinstance(content, str) else content
            member.type = kind
            member.size = len(data) if kind == tarfile.REGTYPE else 0
            member.linkname = "/etc/passwd"
            archive.addfile(member, io.BytesIO(data))
    return path


@pytest.fixture(params=["folder", "archive"])
def make(request, tmp_path):
    """The same files, as a folder or as an archive."""

    def make(files):
        if request.param == "archive":
            return pack(tmp_path / "bundle.tar.gz", files.items())
        folder = tmp_path / "bundle.tar.gz"
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        return folder

    return make


def test_policies_tests_and_data_are_told_apart_and_the_rest_is_ignored(make):
    bundle = load_bundle(
        make(
            {
                "policy.rego": POLICY,
                "policy_test.rego": "package checkrein.pre_prompt_test\n",
                "lib/names.rego": "package lib\n\nx := 1\n",
                "data.json": '{"a": {"b": 1}}',
                "a/data.yaml": "c: [1, 2.5, null, true, x]",
                "deep/er/data.json": '{"d": "e"}',
                "README.md": "# nothing",
                "other.json": "not json",
                ".hidden.rego": "not rego",
                ".git/policy.rego": "not rego",
                ".signatures.json": "{}",
            }
        )
    )
    assert [module.path for module in bundle.modules] == ["lib/names.rego", "policy.rego"]
    assert [module.path for module in bundle.read_tests()] == ["policy_test.rego"]
    assert bundle.data == {
        "a": {"b": 1, "c": [1, 2.5, None, True, "x"]},
        "deep": {"er": {"d": "e"}},
    }


def test_the_revision_is_the_manifests(make):
    bundle = load_bundle(
        make({"policy.rego": POLICY, ".manifest": '{"revision": "v7", "roots": ["checkrein"]}'})
    )
    assert bundle.revision == "v7"


@pytest.mark.parametrize("manifest", [None, "{}", '{"revision": ""}', '{"revision": null}'])
def test_without_one_the_revision_is_a_hash_of_what_decides(make, manifest):
    files = {"policy.rego": POLICY, "data.json": "{}"} | ({".manifest": manifest} if manifest else {})
    revision = load_bundle(make(files)).revision
    assert len(revision) == 16
    assert int(revision, 16) >= 0


def test_every_file_that_decides_changes_the_hash_and_no_other(tmp_path):
    def revision(name, extra=(), **changed):
        folder = tmp_path / name
        files = {"policy.rego": POLICY, "data.json": "{}", "x_test.rego": "package x\n", **changed}
        for path, content in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(content)
        return load_bundle(folder, extra).revision

    same = revision("1")
    extra = tmp_path / "extra.json"
    extra.write_text("{}")
    assert revision("2", **{"x_test.rego": "package y\n", "README.md": "x"}) == same
    changed = [
        revision("3", **{"policy.rego": POLICY + "\n"}),
        revision("4", **{"data.json": '{"a": 1}'}),
        revision("5", **{"more.rego": "package more\n"}),
        revision("6", **{"a/data.json": "{}"}),
        revision("7", [extra]),
        revision("8", [extra, extra]),
    ]
    assert len({same, *changed}) == 1 + len(changed)


def test_folder_and_archive_of_the_same_files_have_the_same_revision(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "policy.rego").write_text(POLICY)
    archive = pack(tmp_path / "b.tar.gz", [("policy.rego", POLICY)])
    assert load_bundle(archive).revision == load_bundle(tmp_path / "folder").revision


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({}, "no `.rego` file"),
        ({"data.json": "{}", "only_test.rego": "package x\n"}, "no `.rego` file"),
        ({"policy.rego": "p := 1"}, r"policy\.rego:1`: a module must begin"),
        ({"policy.rego": POLICY, "data.json": "{"}, r"data\.json:1`: no JSON"),
        ({"policy.rego": POLICY, "data.json": "[]"}, r"data\.json` must hold an object"),
        ({"policy.rego": POLICY, "data.json": '{"a": NaN}'}, "`NaN`"),
        ({"policy.rego": POLICY, "data.json": '{"a": 1e999}'}, "not finite"),
        ({"policy.rego": POLICY, "data.json": '{"a": 9223372036854775808}'}, "64 bits"),
        ({"policy.rego": POLICY, "data.json": '{"a": "\\ud800"}'}, "lone surrogate"),
        ({"policy.rego": POLICY, "data.json": '{"a": 1, "a": 2}'}, "same key twice"),
        ({"policy.rego": POLICY, "data.json": '{"a":' * 100 + "1" + "}" * 100}, "nested"),
        ({"policy.rego": POLICY, "data.json": "[" * 100_000}, "no JSON"),
        ({"policy.rego": POLICY, "data.yaml": "a: [1"}, r"data\.yaml:1`: no YAML"),
        ({"policy.rego": POLICY, "data.yaml": "- 1"}, "must hold an object"),
        ({"policy.rego": POLICY, "data.yaml": "a: 1\na: 2"}, r"data\.yaml:2`.*twice"),
        ({"policy.rego": POLICY, "data.yaml": "1: x"}, "no string; quote it"),
        ({"policy.rego": POLICY, "data.yaml": "a: 2026-11-22"}, "`date`"),
        ({"policy.rego": POLICY, "data.yaml": "a: .inf"}, "not finite"),
        ({"policy.rego": POLICY, "data.yaml": "a: !!python/object:os.system x"}, "no YAML"),
        ({"policy.rego": POLICY, "data.json": '{"a": 1}', "data.yaml": "a: 1"}, r"`data\.a` a second value"),
        ({"policy.rego": POLICY, "data.json": '{"a": 1}', "a/data.json": "{}"}, r"`data\.a` a second value"),
        ({"policy.rego": POLICY, ".manifest": "{"}, r"\.manifest:1`: no JSON"),
        ({"policy.rego": POLICY, ".manifest": "[]"}, "must hold an object"),
        ({"policy.rego": POLICY, ".manifest": '{"roots": "checkrein"}'}, "`roots` must be"),
        ({"policy.rego": POLICY, ".manifest": '{"roots": ["other"]}'}, "outside the manifest's roots"),
        ({"policy.rego": POLICY, ".manifest": '{"roots": ["check"]}'}, "outside the manifest's roots"),
        ({"policy.rego": POLICY, ".manifest": '{"roots": []}'}, "outside the manifest's roots"),
        (
            {"policy.rego": POLICY, ".manifest": '{"roots": ["checkrein"]}', "data.json": '{"x": 1}'},
            r"`data\.x` is outside",
        ),
        (
            {
                "policy.rego": POLICY,
                ".manifest": '{"roots": ["checkrein/pre_prompt", "a/b"]}',
                "data.json": '{"a": {"c": 1}}',
            },
            r"`data\.a\.c` is outside",
        ),
        ({"policy.rego": POLICY, ".manifest": '{"rego_version": 0}'}, "Rego v0"),
        ({"policy.rego": POLICY, ".manifest": '{"file_rego_versions": {"/policy.rego": 0}}'}, "Rego v0"),
        ({"policy.rego": POLICY, ".manifest": '{"file_rego_versions": 0}'}, "Rego v0"),
    ],
)
def test_a_bundle_that_cannot_be_used_says_why(make, files, problem):
    with pytest.raises(PolicyLoadError, match=problem):
        load_bundle(make(files) if files else make({"README.md": ""}))


def test_data_inside_the_roots_passes(make):
    manifest = '{"roots": ["checkrein/pre_prompt", "a/b"]}'
    files = {"policy.rego": POLICY, ".manifest": manifest, "data.json": '{"a": {"b": {"c": 1}}}'}
    assert load_bundle(make(files)).data == {"a": {"b": {"c": 1}}}


def test_extra_data_is_laid_over_in_order(tmp_path, make):
    first, second = tmp_path / "first.yaml", tmp_path / "second.json"
    first.write_text("a: {b: 2, c: [3]}\nnew: {x: 1}")
    second.write_text('{"a": {"c": [4]}, "new": "y"}')
    files = {"policy.rego": POLICY, "data.json": '{"a": {"b": 1, "c": [1, 2], "d": 1}}'}
    bundle = load_bundle(make(files), [first, second])
    assert bundle.data == {"a": {"b": 2, "c": [4], "d": 1}, "new": "y"}


def test_extra_data_may_stand_outside_the_roots(tmp_path, make):
    extra = tmp_path / "extra.yaml"
    extra.write_text("elsewhere: 1")
    files = {"policy.rego": POLICY, ".manifest": '{"roots": ["checkrein"]}'}
    assert load_bundle(make(files), [extra]).data == {"elsewhere": 1}


def test_a_small_yaml_file_cannot_stand_for_a_very_large_one(tmp_path, make):
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    with pytest.raises(PolicyLoadError, match="holds over"):
        load_bundle(make({"policy.rego": POLICY, "data.yaml": "\n".join(levels)}))


@pytest.mark.parametrize(
    "name", ["../policy.rego", "a/../policy.rego", "/policy.rego", "a//policy.rego", "..\\policy.rego"]
)
def test_a_name_that_leads_out_of_an_archive_is_refused(tmp_path, name):
    with pytest.raises(PolicyLoadError, match="leads out of the bundle"):
        load_bundle(pack(tmp_path / "b.tar.gz", [(name, POLICY)]))


@pytest.mark.parametrize("slash", ["", "/", "./"])
def test_names_as_tools_write_them_are_read(tmp_path, slash):
    bundle = load_bundle(pack(tmp_path / "b.tar.gz", [("a/policy.rego", POLICY)], slash=slash))
    assert [module.path for module in bundle.modules] == ["a/policy.rego"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_in_an_archive_are_refused(tmp_path, kind):
    with pytest.raises(PolicyLoadError, match="link or a device"):
        load_bundle(pack(tmp_path / "b.tar.gz", [("policy.rego", POLICY)], kind=kind))


def test_a_file_that_is_in_an_archive_twice_is_refused(tmp_path):
    with pytest.raises(PolicyLoadError, match="twice"):
        load_bundle(pack(tmp_path / "b.tar.gz", [("policy.rego", POLICY), ("policy.rego", POLICY)], slash=""))


def test_an_archive_that_unpacks_to_too_much_is_refused_unread(tmp_path, monkeypatch):
    monkeypatch.setattr("checkrein_rego.bundle._MAX_SIZE", 100_000)
    with pytest.raises(PolicyLoadError, match="unpacks to over"):
        load_bundle(pack(tmp_path / "b.tar.gz", [("policy.rego", POLICY), ("zeros.bin", b"\0" * 200_000)]))


def test_too_many_files_are_refused(tmp_path):
    files = [(f"p{index}.rego", f"package p{index}\n") for index in range(1_001)]
    with pytest.raises(PolicyLoadError, match="over `1000` files"):
        load_bundle(pack(tmp_path / "b.tar.gz", files))


@pytest.mark.parametrize(
    "content", [b"", b"no gzip", gzip.compress(b"", mtime=0), gzip.compress(b"x" * 2000, mtime=0)]
)
def test_what_is_no_archive_is_refused(tmp_path, content):
    path = tmp_path / "b.tar.gz"
    path.write_bytes(content)
    with pytest.raises(PolicyLoadError, match=r"b\.tar\.gz"):
        load_bundle(path)


def test_an_archive_that_is_cut_is_refused(tmp_path):
    path = pack(
        tmp_path / "b.tar.gz",
        [("policy.rego", POLICY), ("data.json", json.dumps({"a": os.urandom(5000).hex()}))],
    )
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(PolicyLoadError, match="no sound"):
        load_bundle(path)


def test_a_file_that_is_neither_folder_nor_archive_is_refused(tmp_path):
    path = tmp_path / "policy.rego"
    path.write_text(POLICY)
    with pytest.raises(PolicyLoadError, match="no bundle; name a folder"):
        load_bundle(path)


def test_a_source_that_is_no_utf8_is_refused(tmp_path):
    with pytest.raises(PolicyLoadError, match="not UTF-8"):
        load_bundle(pack(tmp_path / "b.tar.gz", [("policy.rego", b"package a\n# \xff")]))


def test_a_mounted_config_map_is_read_once(tmp_path):
    """Kubernetes mounts files as links into a hidden folder."""
    real = tmp_path / "mount" / "..2026_11_22"
    real.mkdir(parents=True)
    (real / "policy.rego").write_text(POLICY)
    (tmp_path / "mount" / "policy.rego").symlink_to(real / "policy.rego")
    assert [module.path for module in load_bundle(tmp_path / "mount").modules] == ["policy.rego"]
