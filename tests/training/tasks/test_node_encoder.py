"""A node encoder learns from pairs of graphs, repeats its run, and leaves behind what `register` uses."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from rich.progress import Progress
from typer.testing import CliRunner

from cosense.cli.main import app
from cosense.config import to_mapping
from cosense.geometry.transforms import transform_from_planar
from cosense.messages.scene_graph import NodeClass, SceneGraph
from cosense.model_folders import WEIGHTS
from cosense.scene_graph.describe.node_encoder import (
    CONFIG,
    EncoderConfig,
    EncoderNetwork,
    NodeEncoder,
    load_encoder,
)
from cosense.scene_graph.register.candidates import match_scores
from cosense.scene_graph.register.descriptors import describer
from cosense.training.graph_pairs import GraphPair, candidate_figures, load_graph_pairs, same_things
from cosense.training.loop import Run
from cosense.training.run_config import SceneConfig
from cosense.training.tasks.node_encoder import (
    EncoderRunConfig,
    NodeEncoderTask,
    drawn_example,
    log_assignment,
)
from cosense.training.torchrun import Processes
from tests.detectors.networks import write_model
from tests.scene_graph.scenes import graph_of, pair
from tests.training.toys import TOY_MODEL

SCENES = (SceneConfig(("car_park",), 7, 1, vehicles=2),)
SMALL = EncoderConfig(channels=16, hidden_channels=32)
CONFIG_OF_RUN = EncoderRunConfig(
    encoder=Path("node-encoder"), detector="", data=SCENES, validation=SCENES, steps=40, batch_size=4
)


def pairs_of(count: int, first_seed: int = 0) -> list[GraphPair]:
    """Return pairs of street-like scenes in which 15 things are common."""
    pairs = []
    for seed in range(first_seed, first_seed + count):
        a, b, T_a_b = pair(np.random.default_rng(seed), 15, 6, sigma_m=0.1)
        pairs.append(GraphPair(f"scene/{seed}/a-b", a, b, T_a_b))
    return pairs


def task_of(folder: Path, **changes: object) -> NodeEncoderTask:
    (folder / CONFIG).write_text(yaml.safe_dump(to_mapping(SMALL)))
    config = replace(CONFIG_OF_RUN, encoder=folder, **changes)  # type: ignore[arg-type]
    return NodeEncoderTask(config, torch.device("cpu"))


def fitted(pairs: list[GraphPair], folder: Path, **changes: object) -> EncoderNetwork:
    task = task_of(folder, **changes)
    task.samples = task.unseen = pairs
    Run(task, folder, Processes(0, 1, torch.device("cpu")), Progress(disable=True)).train()
    return task.network


def losses_of(folder: Path) -> list[float]:
    with (folder / "training.csv").open() as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


def test_learning_lowers_the_loss_and_ranks_true_matches_first(tmp_path: Path) -> None:
    pairs = pairs_of(6)
    network = fitted(pairs, tmp_path, steps=120, learning_rate=5e-3)
    losses = losses_of(tmp_path)
    assert losses[-1] < 0.8 * losses[0]
    torch.manual_seed(0)
    untrained = NodeEncoder(EncoderNetwork(SMALL))
    before, after = (
        candidate_figures(pairs, encoder.described, 20) for encoder in (untrained, NodeEncoder(network))
    )
    assert after.recall > before.recall + 0.1
    assert after.candidates == 20
    assert after.precision == pytest.approx(after.recall * 15 / 20)


def test_the_same_run_gives_the_same_weights(tmp_path: Path) -> None:
    pairs = pairs_of(3)
    first, second, other = (
        fitted(pairs, tmp_path / str(number), steps=3, seed=seed).state_dict()
        for number, seed in enumerate((1, 1, 2))
        if (tmp_path / str(number)).mkdir() is None
    )
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_the_loss_is_made_of_what_the_registration_ranks_by() -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(count, 64)).astype(np.float32) for count in (5, 7))
    possible = rng.random((5, 7)) < 0.7
    expected = match_scores(a, b, possible, 0.1)
    found = log_assignment(torch.from_numpy(a), torch.from_numpy(b), torch.from_numpy(possible), 0.1)
    np.testing.assert_allclose(found[possible], expected[possible], atol=1e-3)


def test_pairs_without_a_match_or_a_node_have_a_finite_loss(tmp_path: Path) -> None:
    far = GraphPair("far", *pair(np.random.default_rng(0), 5, 5)[:2], transform_from_planar(900, 0, 0))
    none = GraphPair("none", graph_of([], []), far.b, far.T_a_b)
    task = task_of(tmp_path)
    values = task.losses(task.batch([far, none], np.random.default_rng(0)))
    assert values["matched"].item() == 0
    assert values["unmatched"].item() > 0
    values["loss"].backward()
    assert all(torch.isfinite(p.grad).all() for p in task.parameters() if p.grad is not None)


def test_same_things_are_each_others_nearest_of_one_group() -> None:
    kinds = [NodeClass.POLE, NodeClass.POLE, NodeClass.RIDER, NodeClass.VEHICLE]
    places = [[0, 0, 0], [0.6, 0, 0], [5, 0, 0], [9, 0, 0]]
    a = graph_of(kinds, places)
    b = graph_of([NodeClass.TRUNK, NodeClass.PERSON, NodeClass.POLE], [[0.1, 0, 3], [5.5, 0, 0], [9, 0, 0]])
    T = transform_from_planar(0, 0, 0)
    assert same_things(a, b, T).tolist() == [[0, 0], [2, 1]]
    assert same_things(a, b, T, within_m=0.2).tolist() == [[0, 0]]
    assert same_things(a, graph_of([], []), T).tolist() == []


def test_a_drawn_example_keeps_true_what_it_says_is_true() -> None:
    (one,) = pairs_of(1)
    config = replace(CONFIG_OF_RUN, drop=0.5, extra=0.5, noise_m=0.0)
    shapes = set()
    for seed in range(20):
        drawn = drawn_example(one, config, np.random.default_rng(seed))
        of_a, of_b = drawn.matches.T
        assert drawn.possible[of_a, of_b].all()
        assert torch.equal(drawn.a.groups[of_a], drawn.b.groups[of_b])
        assert len(set(of_a)) == len(set(of_b)) == len(of_a)
        shapes.add((len(drawn.a), len(drawn.b), len(of_a)))
    assert len(shapes) > 10
    assert max(matches for _, _, matches in shapes) <= 15


def test_candidates_without_learning_are_counted_too() -> None:
    pairs = pairs_of(3)
    everything = candidate_figures(pairs, describer("triplets"), 10_000)
    few = candidate_figures(pairs, describer("triplets"), 20)
    assert everything.recall == 1
    assert few.recall < 1
    assert few.pairs == 3
    far = replace(pairs[0], T_a_b=transform_from_planar(900, 0, 0))
    assert candidate_figures([far], describer("triplets"), 20).pairs == 0


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a detector that has learned nothing."""
    folder = tmp_path_factory.mktemp("detector")
    return write_model(folder, TOY_MODEL, 3)


def test_graphs_come_back_from_the_cache_as_they_were_built(detector: Path, tmp_path: Path) -> None:
    built = load_graph_pairs(SCENES, tmp_path, str(detector))
    for cloud in tmp_path.glob("cooperative-*"):
        cloud.unlink()
    read = load_graph_pairs(SCENES, tmp_path, str(detector))
    assert [path.name.split("-")[0] for path in tmp_path.iterdir()] == ["graphs"]
    assert [one.name for one in built] == [
        "car_park/7/vehicle-vehicle_2",
        "car_park/7/vehicle-infrastructure",
        "car_park/7/vehicle_2-infrastructure",
    ]
    for first, second in zip(built, read, strict=True):
        assert_same(first.a, second.a)
        assert_same(first.b, second.b)
        assert len(first.a) > 5


def assert_same(first: SceneGraph, second: SceneGraph) -> None:
    for name in ("classes", "positions", "sizes", "yaws", "velocities", "sigmas_m", "scores"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    assert first.agent_id == second.agent_id


def test_the_command_leaves_an_encoder_with_a_card(detector: Path, tmp_path: Path) -> None:
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / CONFIG).write_text("channels: 16\nhidden_channels: 32\n")
    scenes = "[{families: [car_park], first_seed: 7, sequences: 1, vehicles: 2}]"
    config = tmp_path / "training.yaml"
    config.write_text(
        f"train: encoder\nencoder: {tmp_path / 'small'}\ndetector: {detector}\n"
        f"cache: {tmp_path / 'cache'}\nsteps: 2\nbatch_size: 2\n"
        f"data: {scenes}\nvalidation: {scenes}\n"
    )
    arguments = ["train", str(config), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.exception
    assert "recall of 150 candidates, learned" in result.output
    card = (tmp_path / "out" / "card.md").read_text()
    assert "first_seed: 7" in card
    (one,) = pairs_of(1)
    assert load_encoder(tmp_path / "out").describe(one.a).shape == (len(one.a), 64)
    assert (tmp_path / "out" / WEIGHTS).stat().st_size < 1e5
    before = (tmp_path / "out" / WEIGHTS).read_bytes()
    resumed = CliRunner().invoke(app, [*arguments, "--resume"])
    assert resumed.exit_code == 0, resumed.exception
    assert (tmp_path / "out" / WEIGHTS).read_bytes() == before
