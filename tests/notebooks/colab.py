"""Would installing the library change anything that Google Colab has preinstalled?

`packages.txt` lists what its runtime has. The requirements are walked from the library outwards: what the list has must
be accepted as it is; what it lacks would be installed, so its own requirements (from the metadata of the version
installed here) are walked in turn.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tools.colab_test import listed

# Colab's interpreter, not this one's: markers must be judged as they will be there.
RUNTIME = {
    "implementation_name": "cpython",
    "implementation_version": "3.13.0",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_release": "6.6",
    "platform_system": "Linux",
    "platform_version": "1",
    "python_full_version": "3.13.0",
    "python_version": "3.13",
    "sys_platform": "linux",
}


def preinstalled(lines: list[str]) -> dict[str, Version]:
    """Name and version of each package of the list."""
    return {str(canonicalize_name(name)): Version(version) for name, version in listed(lines).items()}


def changes(wanted: list[str], have: dict[str, Version], *, by: str = "course_lib") -> Iterator[str]:
    """Each preinstalled package that the requirements would change, and each that cannot be followed."""
    waiting = [(by, line, "") for line in wanted]
    seen = set()
    while waiting:
        parent, line, extra = waiting.pop()
        requirement = Requirement(line)
        if requirement.marker and not requirement.marker.evaluate({**RUNTIME, "extra": extra}):
            continue
        name = str(canonicalize_name(requirement.name))
        if (name, str(requirement.specifier), frozenset(requirement.extras)) in seen:
            continue
        seen.add((name, str(requirement.specifier), frozenset(requirement.extras)))
        if name in have and requirement.specifier.contains(have[name].public, prereleases=True):
            if not requirement.extras:
                continue
        elif name in have:
            yield f"{parent} requires {requirement.name}{requirement.specifier}; Colab has {have[name]}"
            continue
        try:
            further = requires(name) or []
        except PackageNotFoundError:
            yield f"{parent} requires {requirement.name}, which Colab lacks and this environment too: cannot follow it"
            continue
        waiting += [(name, line, extra) for line in further for extra in ("", *sorted(requirement.extras))]
