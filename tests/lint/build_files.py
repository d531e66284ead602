"""Reads BUILD files without Bazel: they are Python enough to run, with each rule a function that notes its call."""
import glob as globbing
import os
from dataclasses import dataclass


@dataclass
class Target:
    package: str  # as "messaging/broker"
    kind: str  # the rule's or macro's name
    name: str
    arguments: dict

    def files(self, *names):
        """The files of this package in the attributes, as paths from the top; without names, in any attribute."""
        found = set()
        for name in names or self.arguments:
            for value in _strings(self.arguments.get(name)):
                if not value.startswith(("//", "@")):
                    found.add(os.path.normpath(os.path.join(self.package, value.removeprefix(":"))))
        return found

    @property
    def public(self):
        return "//visibility:public" in self.arguments["visibility"]


def _strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, tuple, dict)):
        for v in [*value, *value.values()] if isinstance(value, dict) else value:
            yield from _strings(v)


class _Values(list):
    """A list that swallows select()."""

    def __add__(self, other):
        return _Values(list(self) + list(other))

    __radd__ = lambda self, other: _Values(list(other) + list(self))  # noqa: E731


class _Names(dict):
    def __init__(self, root, package, targets):
        super().__init__(load=self._load, glob=self._glob, select=self._select, Label=str, package=self._package)
        for name in ("exports_files", "licenses", "package_group", "workspace"):
            self[name] = lambda *args, **kw: None
        self._root, self._where, self._targets, self._visibility = root, package, targets, []

    def __missing__(self, name):
        if name.startswith("__") or name in dir(__builtins__) or (isinstance(__builtins__, dict) and name in __builtins__):
            raise KeyError(name)
        return self._rule(name)

    def _rule(self, kind):
        def call(*args, **arguments):
            arguments.setdefault("visibility", self._visibility)
            self._targets.append(Target(self._where, kind, arguments.get("name", ""), arguments))
        return call

    def _load(self, _, *names, **renamed):
        for name in names:
            self[name] = self._rule(name)
        for name, original in renamed.items():
            self[name] = self._rule(original)

    def _package(self, default_visibility=(), **_):
        self._visibility = list(default_visibility)
        self._targets.append(Target(self._where, "package", "", {"visibility": self._visibility}))

    def _glob(self, include, exclude=(), **_):
        folder = os.path.join(self._root, self._where)

        def match(patterns):
            return {os.path.relpath(f, folder) for p in patterns
                    for f in globbing.glob(os.path.join(folder, p), recursive=True) if os.path.isfile(f)}
        return _Values(sorted(match(include) - match(exclude)))

    @staticmethod
    def _select(choices, **_):
        return _Values(v for values in choices.values() for v in ([values] if isinstance(values, str) else values or []))


def read(root, files):
    """All targets of the BUILD files, given as paths from root."""
    targets = []
    for path in files:
        with open(os.path.join(root, path), encoding="utf-8") as f:
            code = compile(f.read(), path, "exec")
        exec(code, _Names(root, os.path.dirname(path), targets))  # pylint: disable=exec-used
    return targets
