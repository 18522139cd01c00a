"""`cosense register`: the pose between two clouds, frames or graphs, found by scene graphs."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cosense.cli.options import Columns
from cosense.errors import CosenseError, counted, nearest

if TYPE_CHECKING:
    from cosense.data.dataset import CooperativeFrame
    from cosense.geometry.transforms import Matrix
    from cosense.messages.scene_graph import SceneGraph
    from cosense.scene_graph.register.result import Prior, RegistrationResult
    from cosense.sensing.frame import AgentFrame
    from cosense.sensing.levelling import LevelFrame

PICTURE = ".png"
NO_MODEL = "none"


@dataclass(frozen=True)
class Input:
    """One side of a registration.

    Attributes:
        given: word on the command line.
        agent: frame with the cloud, levelled; empty where a graph is given. The pose is the identity where
            there is none.
        world: data set and sequence that the pose refers to; None where there is no pose.
        graph: graph of a file; None where it has yet to be built from the cloud.
        kind: what made the cloud, empty where nothing says it.
    """

    given: str
    agent: LevelFrame
    world: tuple[Path, str] | None
    graph: SceneGraph | None = None
    kind: str = ""


def command(
    a: Annotated[
        str,
        typer.Argument(
            help="Cloud, scene graph (.json), or PATH:AGENT of a data set or bag.", show_default=False
        ),
    ],
    b: Annotated[str, typer.Argument(help="The same; its pose in A's frame is found.", show_default=False)],
    columns: Columns = "",
    frame: Annotated[int, typer.Option(help="Of a data set: which frame; PATH:AGENT:FRAME goes before.")] = 0,
    prior: Annotated[
        tuple[float, float, float] | None,
        typer.Option(
            metavar="X Y YAW",
            help="Approximate pose of B in A's frame, metres and degrees. Without it: anywhere.",
            show_default=False,
        ),
    ] = None,
    prior_sigma: Annotated[
        tuple[float, float],
        typer.Option(metavar="M DEGREES", help="Standard deviation of the prior: of x and of y, and of yaw."),
    ] = (2.0, 2.0),
    model: Annotated[
        str, typer.Option(help="Detector of dynamic objects; none to register by static ones alone.")
    ] = "cosense-lite",
    descriptors: Annotated[
        str, typer.Option(help="Descriptors that rank the pairs of nodes: triplets or learned.")
    ] = "triplets",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Picture (.png) of both clouds in A's frame with the nodes that agree.", show_default=False
        ),
    ] = None,
) -> None:
    """Find the pose of B in the frame of A by the surroundings of both, or say why there is none.

    Clouds are .pcd, .ply, .npy or KITTI's .bin: metres, z up, the sensor at the origin. A .json holds the
    nodes of a scene graph of your own, see docs/registration.md. B's scene graph reaches A as a message, as
    between agents: `bytes` is its length, `packets` those of a vehicle's radio that it takes, `time_ms` is
    the registration alone. The prior is a claim to test: where much more agrees elsewhere, that is the
    answer, or there is none.

    Status 0: registered. 1: refused, and there is no pose. 2: bad input.

    Examples:

        cosense register results/demo/sequence:vehicle:0 results/demo/sequence:vehicle:10 --out together.png

        cosense register results/demo/run.mcap:vehicle:0 results/demo/run.mcap:vehicle:10 --prior 7 0 0 --json

        cosense register mine.json theirs.json
    """
    from cosense.messages.scene_graph import transmitted
    from cosense.scene_graph.register.descriptors import graph_registration

    # Wrong options are refused before a network runs.
    if out is not None and out.suffix.lower() != PICTURE:
        raise CosenseError(f"--out {out}: expected the name of a picture that ends in {PICTURE}")
    sides = read_input(a, frame, "A", columns), read_input(b, frame, "B", columns)
    belief = None if prior is None else prior_of(prior, prior_sigma, sides)
    registration = graph_registration(descriptors)
    graph_a, graph_b = graphs_of(sides, model)
    graph_b, sent_bytes = transmitted(graph_b)
    result = registration(graph_a, graph_b, belief)
    reported = of_sensors(sides, result)
    content = content_of(sides, reported, (graph_a, graph_b), sent_bytes)
    if out is not None and result.registered:
        draw(sides, (graph_a, graph_b), result, out)
    if as_json:
        typer.echo(json.dumps(content))
    else:
        _print(reported, content, (len(graph_a), len(graph_b)), off_by(sides, result))
        if out is not None:
            typer.echo(str(out) if result.registered else "no picture: there is no pose to draw it with")
    if not result.registered:
        raise typer.Exit(1)


def read_input(given: str, frame: int, name: str, columns: str = "") -> Input:
    """Read a cloud or a scene graph, or the cloud of an agent of a data set.

    Args:
        given: PATH, PATH:AGENT or PATH:AGENT:FRAME.
        frame: number of the frame where `given` has none.
        name: name of the agent where `given` is a file.
        columns: names of the columns of clouds without a header; empty to tell them by their values.

    Raises:
        CosenseError: there is no such path, agent or frame, or not one point.
    """
    from cosense.data.provenance import MARK, has_mark
    from cosense.data.recognise import reader_of
    from cosense.scene_graph.graph_file import SUFFIX
    from cosense.sensing.cloud_formats.cloud_files import SUFFIXES

    path, words = split_input(given)
    if path.is_file() and path.suffix == SUFFIX:
        return _graph(path, words, name)
    if path.is_file() and (path.suffix.lower() in SUFFIXES or reader_of(path) is None):
        made_here = MARK if has_mark([path]) else ""
        source = Input(given, _cloud(path, words, name, columns), None, kind=made_here)
    else:
        source = _of_data_set(path, words, given, frame, columns)
    if not len(source.agent.points):
        raise CosenseError(f"{given}: not one finite point; a cloud without points cannot be registered")
    return source


def split_input(given: str) -> tuple[Path, list[str]]:
    """Return an existing path and the words after it; the path itself may have colons.

    Raises:
        CosenseError: there is no such path.
    """
    words = given.split(":")
    for count in range(len(words), max(0, len(words) - 3), -1):
        path = Path(":".join(words[:count]))
        if path.exists():
            return path, words[count:]
    raise CosenseError(f"{given}: no such file or folder; expected PATH, PATH:AGENT or PATH:AGENT:FRAME")


def _cloud(path: Path, words: list[str], name: str, columns: str) -> LevelFrame:
    """Read a cloud."""
    import numpy as np

    from cosense.scene_graph.graph_file import SUFFIX
    from cosense.sensing.cloud_formats.cloud_files import SUFFIXES, read_cloud
    from cosense.sensing.cloud_formats.number_tables import column_names
    from cosense.sensing.frame import AgentFrame
    from cosense.sensing.levelling import levelled

    if path.suffix.lower() not in SUFFIXES:
        kinds = f"neither a cloud ({' or '.join(SUFFIXES)}) nor a scene graph ({SUFFIX})"
        raise CosenseError(f"{path}: {kinds} nor a data set or bag")
    _no_words(path, words)
    points = read_cloud(path, column_names(columns) if columns else ()).points
    return levelled(AgentFrame(name, "vehicle", 0, np.eye(4), points))


def _no_words(path: Path, words: list[str]) -> None:
    if words:
        raise CosenseError(f"{path}: a file has neither agents nor frames, leave out ':{':'.join(words)}'")


def _graph(path: Path, words: list[str], name: str) -> Input:
    """Read a scene graph, and name its unknown labels."""
    import numpy as np

    from cosense.scene_graph.graph_file import read_graph
    from cosense.sensing.frame import AgentFrame
    from cosense.sensing.levelling import levelled

    _no_words(path, words)
    graph, unknown = read_graph(path)
    if unknown:
        named = ", ".join(f"'{label}' ({count})" for label, count in sorted(unknown.items()))
        typer.echo(
            f"{path}: labels that are unknown here, of {counted(sum(unknown.values()), 'node')}: {named}",
            err=True,
        )
    agent = AgentFrame(name, "vehicle", graph.stamp_ns, np.eye(4), np.zeros((0, 4), np.float32))
    return Input(str(path), levelled(agent), None, replace(graph, agent_id=graph.agent_id or name))


def _of_data_set(path: Path, words: list[str], given: str, frame: int, columns: str) -> Input:
    """Read the cloud of an agent of a data set."""
    from cosense.data import open_dataset
    from cosense.sensing.levelling import levelled

    dataset = open_dataset(path, columns=columns)
    if len(words) > 1:
        if not words[1].isdecimal():
            raise CosenseError(f"{given}: frame '{words[1]}' is no number; expected PATH:AGENT:FRAME")
        frame = int(words[1])
    if not 0 <= frame < len(dataset):
        raise CosenseError(f"{given}: there is no frame {frame}, {path} has frames 0 to {len(dataset) - 1}")
    content = dataset[frame]
    names = list(content.agents)
    if words and words[0] not in names:
        raise CosenseError(f"{given}: frame {frame} has no agent '{words[0]}', {nearest(words[0], names)}")
    if not words and len(names) > 1:
        raise CosenseError(f"{given}: whose cloud? Say {path}:{names[0]}, or another one of {names}")
    agent = content.agents[words[0] if words else names[0]]
    world = dataset.path.resolve(), content.sequence
    return Input(given, levelled(agent), world, kind=str(content.provenance))


def prior_of(
    prior: tuple[float, float, float], sigma: tuple[float, float], sides: tuple[Input, Input]
) -> Prior:
    """Return the prior; its height comes from the ground under both, cloud or graph.

    Raises:
        CosenseError: a number is not finite, or a standard deviation not positive.
    """
    import numpy as np

    from cosense.geometry.transforms import transform_from_planar
    from cosense.scene_graph.graph_file import ground_height_of
    from cosense.scene_graph.register.result import Prior

    if not np.isfinite(prior).all():
        raise CosenseError(f"--prior {prior}: expected three finite numbers, metres, metres and degrees")
    if not all(0 < value < np.inf for value in sigma):
        raise CosenseError(f"--prior-sigma {sigma}: expected two positive numbers, metres and degrees")
    ground_a_m, ground_b_m = (
        side.agent.ground.height_m if side.graph is None else ground_height_of(side.graph) for side in sides
    )
    T = transform_from_planar(prior[0], prior[1], np.deg2rad(prior[2]), ground_a_m - ground_b_m)
    return Prior(T, np.diag([sigma[0], sigma[0], np.deg2rad(sigma[1])]) ** 2)


def graphs_of(sides: tuple[Input, Input], model: str) -> tuple[SceneGraph, SceneGraph]:
    """Return both graphs; those of clouds are built with the boxes of a model or without any."""
    from cosense.methods.model import load_model
    from cosense.scene_graph.extract.builder import build
    from cosense.sensing.detections import Detections

    only_graphs = all(side.graph is not None for side in sides)
    detector = None if model == NO_MODEL or only_graphs else load_model(model).detector

    def graph_of(side: Input) -> SceneGraph:
        if side.graph is not None:
            return side.graph
        if detector is None:
            return build(side.agent, Detections.empty())
        return build(side.agent, detector.decode(detector.encode(side.agent)), detector.site)

    return graph_of(sides[0]), graph_of(sides[1])


def of_sensors(sides: tuple[Input, Input], result: RegistrationResult) -> RegistrationResult:
    """Return the pose between the sensors as they are mounted, of one between levelled frames."""
    from cosense.geometry.transforms import invert

    if result.T_a_b is None:
        return result
    T_a, T_b = (side.agent.T_sensor_level for side in sides)
    return replace(result, T_a_b=T_a @ result.T_a_b @ invert(T_b))


def content_of(
    sides: tuple[Input, Input],
    result: RegistrationResult,
    graphs: tuple[SceneGraph, SceneGraph],
    sent_bytes: int,
) -> dict[str, Any]:
    """Return the content of `--json`; nodes are named by their ids in the graph of their agent."""
    from cosense.messages.envelope import packets_of

    ids_a, ids_b = (graph.ids[column] for graph, column in zip(graphs, result.inliers.T, strict=True))
    return {
        "data": {name: side.kind or None for name, side in zip("AB", sides, strict=True)},
        "status": result.status.value,
        "reason": result.reason,
        "T_a_b": None if result.T_a_b is None else result.T_a_b.tolist(),
        "covariance": None if result.covariance is None else result.covariance.tolist(),
        "inliers": [[int(i), int(j)] for i, j in zip(ids_a, ids_b, strict=True)],
        "time_ms": result.time_ms,
        "bytes": sent_bytes,
        "packets": packets_of(sent_bytes),
    }


def off_by(sides: tuple[Input, Input], result: RegistrationResult) -> tuple[float, float] | None:
    """Return the distance from the pose in the data set, metres and degrees; None where there is none."""
    import numpy as np

    from cosense.geometry.transforms import invert, yaw_of

    if result.T_a_b is None or sides[0].world is None or sides[0].world != sides[1].world:
        return None
    T_known = invert(sides[0].agent.T_world_agent) @ sides[1].agent.T_world_agent
    off = invert(T_known) @ result.T_a_b
    return float(np.hypot(*off[:2, 3])), abs(float(np.rad2deg(yaw_of(off))))


def draw(
    sides: tuple[Input, Input], graphs: tuple[SceneGraph, SceneGraph], result: RegistrationResult, out: Path
) -> None:
    """Draw both clouds where the result puts them."""
    from cosense.viewer.registration import draw_registration

    assert result.T_a_b is not None
    a, b = (Path(side.given).name for side in sides)
    title = f"B is {b}, in the frame of A, {a}; in agreement: {counted(len(result.inliers), 'node')}"
    kinds = " and ".join(dict.fromkeys(side.kind for side in sides if side.kind))
    title = f"{kinds}: {title}" if kinds else title
    draw_registration(_together(sides, result.T_a_b), graphs, result.inliers, out, title=title)


def _together(sides: tuple[Input, Input], T_a_b: Matrix) -> CooperativeFrame:
    """Return a frame with A at the origin and B where it was found."""
    import numpy as np

    from cosense.data.dataset import CooperativeFrame
    from cosense.sensing.objects import Objects

    agents: dict[str, AgentFrame] = {
        name: replace(side.agent, agent_id=name, T_world_agent=T)
        for name, side, T in zip("AB", sides, (np.eye(4), T_a_b), strict=True)
    }
    return CooperativeFrame("", "", "A", agents, Objects.empty())


def _print(
    result: RegistrationResult,
    content: dict[str, Any],
    nodes: tuple[int, int],
    off: tuple[float, float] | None,
) -> None:
    """Print one line for each fact."""
    import numpy as np
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    kinds = {name: kind for name, kind in content["data"].items() if kind}
    facts = {"data": "; ".join(f"{name} is {kind}" for name, kind in kinds.items())} if kinds else {}
    facts |= {"status": content["status"], "reason": content["reason"]}
    if result.T_a_b is not None and result.covariance is not None:
        facts["T_a_b"] = np.array2string(result.T_a_b, precision=3, suppress_small=True)
        facts["covariance"] = np.array2string(result.covariance, precision=3)
        facts["  of"] = "x m, y m, yaw rad"
    facts["inliers"] = f"{len(result.inliers)} of {nodes[0]} and {counted(nodes[1], 'node')}"
    facts["time_ms"] = f"{result.time_ms:.1f}"
    facts["bytes"] = f"{content['bytes']} in {counted(content['packets'], 'packet')}"
    if off is not None:
        facts["error"] = f"{off[0]:.2f} m and {off[1]:.2f} degrees from the pose in the data set"
    table = Table.grid(padding=(0, 2))
    for name, value in facts.items():
        table.add_row(Text(name, style="bold"), Text(value))
    Console(highlight=False, soft_wrap=True).print(table)
