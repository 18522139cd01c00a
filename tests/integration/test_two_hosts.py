"""Two hosts with a bad cable between them: only DDS joins them, and the boxes are those of one machine."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml

from cosense.cooperation.offline import Cooperation
from cosense.data import open_dataset
from cosense.evaluation.run_files import read_fused_frames
from cosense.runs.supervisor import free_domain
from tests.integration.two_hosts import Cable, environment, two_hosts, why_not
from tests.nodes.tiny import write_scene, write_sharing_model

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'cosense[ros]'")
pytestmark = pytest.mark.hosts

FRAMES = 6
BUDGET_BYTES = 450


def test_what_runs_on_a_host_ends_with_it():
    missing = why_not()
    if missing:
        pytest.skip(missing)
    with two_hosts(Cable()) as (host, _):
        run = subprocess.Popen(
            host.command([sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"]),
            stdout=subprocess.PIPE,
        )
        assert run.stdout is not None
        assert run.stdout.readline()
    assert run.wait(10) == -signal.SIGKILL


def test_agents_on_two_hosts_give_the_boxes_of_one_machine(tmp_path):
    missing = why_not()
    if missing:
        pytest.skip(missing)
    from cosense.methods.model import load_model

    data = write_scene(tmp_path / "scene", FRAMES)
    model = write_sharing_model(tmp_path / "tiny")
    scenario = tmp_path / "scenario.yaml"
    # Longer than a restless start of two hosts takes.
    synchroniser = {"timeout_ms": 30_000.0}
    scenario.write_text(
        yaml.safe_dump(
            {
                "source": {"data": str(data)},
                "model": str(model),
                "budget_bytes": BUDGET_BYTES,
                "registration": "none",
                "synchroniser": synchroniser,
            }
        )
    )
    cable = Cable(delay_ms=50, jitter_ms=10, loss=0.1)
    with two_hosts(cable) as (vehicle, unit):
        domain = environment(free_domain())
        runs = []
        for host, agent in ((unit, "-1"), (vehicle, "1")):
            words = [sys.executable, "-m", "cosense.cli.main", "run", str(scenario)]
            words += [f"--only={agent}", "--out", str(tmp_path / f"of{agent}")]
            with (tmp_path / f"of{agent}.txt").open("w") as output:
                runs.append(subprocess.Popen(host.command(words), env=domain, stdout=output, stderr=output))
        try:
            statuses = [run.wait(150) for run in runs]
        finally:
            for run in runs:
                run.kill()
    assert statuses == [0, 0], [path.read_text() for path in sorted(tmp_path.glob("of*.txt"))]
    assert cable.lost > 0

    detector, dataset = load_model(model), open_dataset(data)
    journal = read_fused_frames(tmp_path / "of1" / "detections.jsonl")
    together = Cooperation(detector, "hybrid", budget_bytes=BUDGET_BYTES)
    assert len(journal) == FRAMES
    for number, live in enumerate(journal):
        frame = dataset[number]
        offline = together.step([frame.ego, *frame.others], number).result
        assert live.result.peers == offline.peers
        np.testing.assert_allclose(live.result.detections.boxes, offline.detections.boxes, rtol=0, atol=1e-9)
    assert Counter(entry.mode for entry in journal) == {"HYBRID": FRAMES}
    assert not list(Path(tmp_path / "of-1").glob("detections.jsonl"))
