"""Parameters that a process is given and that none of its nodes has: ROS 2 passes over them in silence.

They come with `-p` on the command line and in files (`--params-file`), which launch also writes for what it
hands over. What a node has is in launch/params. A section of a file that holds for nodes of any name, like
`/**`, may have the parameters of all nodes of this package; what is said to one node has to be known to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosense.config import load_yaml
from cosense.errors import CosenseError, nearest
from cosense.shipped import shipped_folders

# What every node has.
_OF_ROS = ("use_sim_time", "start_type_description_service", "qos_overrides.")
_PARAMETERS = "ros__parameters"
# A parameter in a file of launch/params, one that has no default included.
_DECLARED = re.compile(r"^    (?:# )?([\w.]+): ", re.MULTILINE)


@dataclass(frozen=True)
class _Given:
    """A parameter, for the nodes whose full names match a pattern.

    Attributes:
        where: file and section, or the word of the command line.
        name: name of the parameter.
        nodes: pattern of the names of nodes; empty for all.
        file: the file, empty for the command line.
    """

    where: str
    name: str
    nodes: str
    file: str = ""

    def is_for(self, full_name: str) -> bool:
        pattern = "/" + self.nodes.lstrip("/").replace("/*", "(/\\w+)")
        # "/**" has become "(/\w+)*": any number of names.
        pattern = re.sub(r"^/\*\*?", r"(/\\w+)*", pattern)
        return not self.nodes or re.fullmatch(pattern, full_name) is not None

    @property
    def is_for_any_name(self) -> bool:
        return self.nodes.endswith("*")


def check_given(arguments: Sequence[str], nodes: Sequence[str]) -> list[str]:
    """Refuse what none of the nodes of a process would ever read.

    Args:
        arguments: those of the process, with --ros-args.
        nodes: names of its nodes, as they are without remapping.

    Returns:
        a warning for each file that has nothing for any of them.

    Raises:
        CosenseError: a parameter or a node that does not exist, with the nearest that does; a file of
            parameters that cannot be read.
    """
    known = _known()
    words = list(_ros_words(arguments))
    full_names = {_full_name(node, words): node for node in nodes}
    given = [each for option, value in words for each in _given(option, value)]
    unread: dict[str, set[str]] = {str(Path(v)): set() for option, v in words if option == "--params-file"}
    for each in given:
        here = [node for full_name, node in full_names.items() if each.is_for(full_name)]
        if not here:
            # A file may have sections for the nodes of others, a word of the command line cannot.
            if not each.file:
                raise CosenseError(f"{each.where}: no node '{each.nodes}' here, {nearest(each.nodes, nodes)}")
            if each.file in unread:
                unread[each.file].add(each.nodes)
            continue
        unread.pop(each.file, None)
        if any(node not in known for node in here):
            continue
        of_these = {name for node in here for name in known[node]}
        allowed = of_these.union(*known.values()) if each.is_for_any_name else of_these
        if each.name not in allowed and not each.name.startswith(_OF_ROS):
            others = [node for node, names in known.items() if each.name in names]
            hint = f"it is one of node '{others[0]}'" if others else nearest(each.name, allowed)
            raise CosenseError(f"{each.where}: unknown parameter '{each.name}', {hint}")
    return [
        f"{file}: nothing in it is for {' or '.join(full_names)}, it has {', '.join(sorted(sections))}"
        for file, sections in unread.items()
        if sections
    ]


def _known() -> dict[str, set[str]]:
    """Return the parameters of each node, as shipped in launch/params; none where that is not installed."""
    files = [path for folder in shipped_folders("launch/params")[:1] for path in folder.glob("*.yaml")]
    return {path.stem: set(_DECLARED.findall(path.read_text())) for path in files}


def _ros_words(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the options behind --ros-args that have a value, each with it."""
    is_ros = False
    words = iter(arguments)
    for word in words:
        if word == "--ros-args":
            is_ros = True
        elif word == "--":
            is_ros = False
        elif is_ros and word.startswith("-"):
            option = {"--param": "-p", "--remap": "-r"}.get(word, word)
            if option in ("-p", "-r", "--params-file"):
                yield option, next(words, "")


def _full_name(node: str, words: Sequence[tuple[str, str]]) -> str:
    """Return the name of a node with its namespace, as the remappings have it."""
    namespace, name = "/", node
    for option, rule in words:
        match = re.fullmatch(r"(?:(\w+):)?__(ns|node|name):=(.+)", rule)
        if option == "-r" and match is not None and match[1] in (None, node):
            namespace, name = (match[3], name) if match[2] == "ns" else (namespace, match[3])
    return f"{namespace.rstrip('/')}/{name}"


def _given(option: str, value: str) -> Iterator[_Given]:
    if option == "-p":
        target, _, _ = value.partition(":=")
        node, _, name = target.rpartition(":")
        yield _Given(f"-p {value}", name, node)
    elif option == "--params-file":
        path = Path(value)
        content = load_yaml(path)
        yield from _in_file(path, "", {} if content is None else content)


def _in_file(path: Path, nodes: str, content: Any) -> Iterator[_Given]:
    """Yield the parameters of the section of some nodes, and of those below it."""
    if not isinstance(content, Mapping):
        raise CosenseError(
            f"{path}: '{nodes.lstrip('/')}' is {content!r}; expected the names of nodes, below each of them "
            f"'{_PARAMETERS}:', and below that the parameters"
        )
    for key, value in content.items():
        if key == _PARAMETERS:
            for name in _flat(value):
                yield _Given(f"{path}: {nodes}", name, nodes, str(path))
        else:
            yield from _in_file(path, f"{nodes}/{str(key).strip('/')}", value)


def _flat(parameters: Any, prefix: str = "") -> Iterator[str]:
    """Yield the names of parameters, of which groups may be written as mappings."""
    for key, value in (parameters or {}).items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"
