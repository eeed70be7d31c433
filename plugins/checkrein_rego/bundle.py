"""Reads a bundle, a folder or an OPA `.tar.gz`, into modules and data; nothing is ever extracted to disk.

What OPA does is done here (its documentation, "Bundles"): `data.json` and `data.yaml` stand at their
folder's place, `.manifest` may give `revision` and `roots`, and every other file but `.rego` is ignored.
Signatures (`.signatures.json`) are not verified yet: a bundle is trusted as its file permissions are.
"""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any, Final

from checkrein.errors import PolicyLoadError

from .documents import joined, merged, read_document
from .source import Module, read_module
from .tokens import SourceError

__all__ = ["Bundle", "load_bundle"]

_MAX_FILES: Final = 1_000
_MAX_SIZE: Final = 64 * 1024 * 1024
_DATA: Final = frozenset({"data.json", "data.yaml", "data.yml"})
_MANIFEST: Final = ".manifest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """Policies and their data.

    Args:
        name: what messages call it.
        modules: what is evaluated.
        test_files: `*_test.rego` by name, unread: what is wrong in a test stops no engine.
        data: the base documents.
        revision: the manifest's, else a hash of everything that can change an answer.
    """

    name: str
    modules: Sequence[Module] = field(repr=False)
    test_files: Mapping[str, bytes] = field(repr=False)
    data: Mapping[str, Any] = field(repr=False)
    revision: str

    def read_tests(self) -> list[Module]:
        """Read the test modules.

        Raises:
            PolicyLoadError: one of them cannot be read.
        """
        return [_module(self.name, name, content) for name, content in self.test_files.items()]


def load_bundle(path: Path, extra: Sequence[Path] = ()) -> Bundle:
    """Read a bundle.

    Args:
        path: a folder, or an OPA bundle `.tar.gz`.
        extra: data files laid over the bundle's data, in order: objects are merged, and where both have
            another value at the same place, the extra file wins.

    Raises:
        PolicyLoadError: something in it cannot be used; the message names file and line.
    """
    files = dict(sorted(_files(path)))
    manifest = read_document(f"{path.name}/{_MANIFEST}", files[_MANIFEST]) if _MANIFEST in files else {}
    modules: list[Module] = []
    tests: dict[str, bytes] = {}
    data: dict[str, Any] = {}
    decisive: dict[str, bytes] = {}
    for name, content in files.items():
        if name.endswith("_test.rego"):
            tests[name] = content
            continue
        if name.endswith(".rego"):
            modules.append(_module(path.name, name, content))
        elif name.rpartition("/")[2] in _DATA:
            value = read_document(f"{path.name}/{name}", content)
            for part in reversed(PurePosixPath(name).parts[:-1]):
                value = {part: value}
            data = joined(data, value, f"{path.name}/{name}")
        elif name != _MANIFEST:
            continue
        decisive[name] = content
    if not modules:
        raise PolicyLoadError(f"bundle `{path.name}` holds no `.rego` file; name the folder that does")
    _check_manifest(path, manifest, modules, data)
    for file in extra:
        content = _read(file)
        data = merged(data, read_document(file.name, content))
        decisive[f"{len(decisive)}\0{file.name}"] = content
    revision = manifest.get("revision")
    return Bundle(
        name=path.name,
        modules=modules,
        test_files=tests,
        data=data,
        revision=revision if isinstance(revision, str) and revision else _digest(decisive),
    )


def _where(path: Path, name: str) -> str:
    return f"`{path.name}/{name}`"


def _module(bundle: str, name: str, content: bytes) -> Module:
    try:
        return read_module(name, content.decode())
    except UnicodeDecodeError:
        raise PolicyLoadError(f"`{bundle}/{name}` is not UTF-8; save it as UTF-8") from None
    except SourceError as error:
        raise PolicyLoadError(f"`{bundle}/{name}:{error.line}`: {error.problem}") from None


def _files(path: Path) -> Iterator[tuple[str, bytes]]:
    if path.is_dir():
        source = _in_folder(path)
    elif path.name.endswith((".tar.gz", ".tgz")):
        source = _in_archive(path)
    else:
        raise PolicyLoadError(f"`{path.name}` is no bundle; name a folder or a `.tar.gz`")
    size = 0
    for count, (name, content) in enumerate(source, 1):
        size += len(content)
        if count > _MAX_FILES or size > _MAX_SIZE:
            raise PolicyLoadError(
                f"bundle `{path.name}` is over `{_MAX_FILES}` files or `{_MAX_SIZE}` bytes; split it"
            )
        yield name, content


def _in_folder(root: Path) -> Iterator[tuple[str, bytes]]:
    for folder, folders, names in os.walk(root):
        # Hidden folders hold what is not meant: `.git`, or the other versions of a mounted ConfigMap.
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            file = Path(folder, name)
            inside = file.relative_to(root).as_posix()
            if _wanted(inside):
                yield inside, _read(file)


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            content = opened.read(_MAX_SIZE + 1)
    except OSError as error:
        raise PolicyLoadError(f"`{file.name}` cannot be read: {error.strerror}") from None
    if len(content) > _MAX_SIZE:
        raise PolicyLoadError(f"`{file.name}` is over `{_MAX_SIZE}` bytes")
    return content


def _in_archive(path: Path) -> Iterator[tuple[str, bytes]]:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(_read(path))) as packed:
            unpacked = packed.read(_MAX_SIZE + 1)
        if len(unpacked) > _MAX_SIZE:
            raise PolicyLoadError(f"bundle `{path.name}` unpacks to over `{_MAX_SIZE}` bytes")
        with tarfile.open(fileobj=io.BytesIO(unpacked), mode="r:") as archive:
            yield from _members(path, archive)
    except (tarfile.TarError, OSError, EOFError, zlib.error, ValueError) as error:
        raise PolicyLoadError(
            f"bundle `{path.name}` is no sound `.tar.gz`: `{type(error).__name__}`; build it again"
        ) from None


def _members(path: Path, archive: tarfile.TarFile) -> Iterator[tuple[str, bytes]]:
    seen: set[str] = set()
    for member in archive:
        if member.isdir():
            continue
        # `opa build` writes `/data.json`: one leading slash is the bundle's root.
        name = member.name.removeprefix("./").removeprefix("/")
        parts = name.split("/")
        if not member.isfile():
            raise PolicyLoadError(f"{_where(path, name)} is a link or a device; a bundle holds files")
        if ".." in parts or "" in parts or "." in parts or "\\" in name:
            raise PolicyLoadError(f"{_where(path, name)} leads out of the bundle; build it again")
        if name in seen:
            raise PolicyLoadError(f"{_where(path, name)} is in the bundle twice; build it again")
        seen.add(name)
        if _wanted(name):
            opened = archive.extractfile(member)
            yield name, opened.read() if opened else b""


def _wanted(name: str) -> bool:
    if name == _MANIFEST:
        return True
    parts = name.split("/")
    known = parts[-1].endswith(".rego") or parts[-1] in _DATA
    return known and not any(part.startswith(".") for part in parts)


def _check_manifest(
    path: Path, manifest: Mapping[str, Any], modules: Sequence[Module], data: Mapping[str, Any]
) -> None:
    where = _where(path, _MANIFEST)
    by_file = manifest.get("file_rego_versions", {})
    versions = [manifest.get("rego_version", 1), *(by_file.values() if isinstance(by_file, dict) else [None])]
    if any(version != 1 for version in versions):
        raise PolicyLoadError(f"{where} asks for Rego v0; migrate with `opa fmt --write --v0-v1`")
    roots = manifest.get("roots", [""])
    if not isinstance(roots, list) or not all(isinstance(root, str) for root in roots):
        raise PolicyLoadError(f"{where}: `roots` must be a list of paths")
    allowed = [tuple(part for part in root.split("/") if part) for root in roots]
    for module in modules:
        if not any(module.package[: len(root)] == root for root in allowed):
            package = ".".join(module.package)
            raise PolicyLoadError(
                f"`{path.name}/{module.path}`: package `{package}` is outside the manifest's roots"
            )
    for place in _places(data, allowed):
        raise PolicyLoadError(
            f"bundle `{path.name}`: `data.{'.'.join(place)}` is outside the manifest's roots"
        )


def _places(
    data: Any, roots: Sequence[tuple[str, ...]], at: tuple[str, ...] = ()
) -> Iterator[tuple[str, ...]]:
    """Where data stands outside every root."""
    if any(at[: len(root)] == root for root in roots):
        return
    if isinstance(data, dict) and (not at or any(root[: len(at)] == at for root in roots)):
        for key, value in data.items():
            yield from _places(value, roots, (*at, key))
    else:
        yield at


def _digest(files: Mapping[str, bytes]) -> str:
    digest = sha256()
    for name, content in files.items():
        # Lengths first: no two sets of files run together into the same bytes.
        for part in (name.encode(), content):
            digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()[:16]
