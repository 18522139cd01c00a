"""Data sets are found by asking each module; one more module is all that a new data set takes."""

from __future__ import annotations

import json
import sys

import pytest

import cosense.data
from cosense.data import open_dataset
from cosense.data.recognise import reader_of
from cosense.errors import CosenseError
from cosense.simulation.dair_v2x_writer import write_dair_v2x
from cosense.simulation.opv2v_writer import write_opv2v
from tests.simulation.hand_made import make_frames

ONE_FRAME = '''
"""A data set whose only file names its agents, the ego first."""

import json

import numpy as np

from cosense.data.dataset import CooperativeFrame, Dataset, DatasetInfo
from cosense.sensing.frame import AgentFrame
from cosense.sensing.objects import Objects

LAYOUT = "agents.json (one frame)"


def recognises(path):
    return OneFrame if (path / "agents.json").is_file() else None


class OneFrame(Dataset):
    kind = "one-frame"
    label_set = "none"

    def __init__(self, path, *, split=None, labels=None, cameras=False):
        self.path, self.split = path, split or "all"

    def __len__(self):
        return 1

    def __getitem__(self, index):
        names = json.loads((self.path / "agents.json").read_text())
        agents = {n: AgentFrame(n, "vehicle", 0, np.eye(4), np.zeros((1, 4), np.float32)) for n in names}
        return CooperativeFrame("0", "0", names[0], agents, Objects.empty(), is_labelled=False)

    def info(self, *, verify=False):
        return DatasetInfo(self.kind, self.path, self.label_set, {"all": 1}, dict(self.agents), ["LiDAR"])
'''


@pytest.fixture
def one_frame(tmp_path, monkeypatch):
    """Return the root of a data set that only a module outside of the package can read."""
    monkeypatch.setattr(cosense.data, "__path__", list(cosense.data.__path__))
    (tmp_path / "mine" / "data").mkdir(parents=True)
    (tmp_path / "mine" / "data" / "one_frame.py").write_text(ONE_FRAME)
    monkeypatch.setenv("COSENSE_PLUGINS", str(tmp_path / "mine"))
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "agents.json").write_text(json.dumps(["b", "a"]))
    yield tmp_path / "tree"
    sys.modules.pop("cosense.data.one_frame", None)


def test_a_new_data_set_is_one_module_and_says_who_takes_part(one_frame):
    dataset = open_dataset(one_frame)
    assert dataset.agents == {"b": "vehicle", "a": "vehicle"}
    assert dataset.description() == {
        "kind": "one-frame",
        "path": str(one_frame),
        "split": "all",
        "label_set": "none",
        "async_frames": 0,
        "frames": 1,
    }
    assert open_dataset(one_frame.parent).path == one_frame
    with pytest.raises(CosenseError, match="async_frames=2 does not apply to one_frame, only to dair_v2x"):
        open_dataset(one_frame, async_frames=2)


def test_what_was_looked_for_includes_the_new_one(one_frame):
    (one_frame / "agents.json").unlink()
    assert reader_of(one_frame) is None
    with pytest.raises(CosenseError, match=r"Looked in .*metadata\.yaml .*data_info\.json .*agents\.json"):
        open_dataset(one_frame)


def test_every_frame_is_the_split_all_in_every_layout(tmp_path):
    for name, write in (("dair", write_dair_v2x), ("opv2v", write_opv2v)):
        write(make_frames(3), tmp_path / name)
        every = open_dataset(tmp_path / name, split="all")
        assert (every.split, len(every)) == ("all", 3)
        assert next(iter(every.agents)) == every[0].ego_id


def test_agents_are_those_of_the_first_frame_that_can_be_read(tmp_path):
    write_opv2v(make_frames(2), tmp_path / "tree")
    dataset = open_dataset(tmp_path / "tree")
    first, *_ = files = sorted((tmp_path / "tree").rglob("*.yaml"), key=lambda path: path.name)
    first.write_text("{}")
    assert set(dataset.agents.values()) == {"vehicle", "infrastructure"}
    for path in files:
        path.write_text("{}")
    with pytest.raises(CosenseError, match="has no 'lidar_pose'"):
        _ = dataset.agents
