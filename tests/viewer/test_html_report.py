"""The report is read as a browser reads it, and opened in one where there is one."""

from __future__ import annotations

import base64
import dataclasses
import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial import KDTree

from cosense.messages.reports import PeerReport
from cosense.sensing.detections import Detections, Source
from cosense.sensing.objects import Objects
from cosense.viewer.html_report import write_report
from cosense.viewer.pack import ReportFrame
from tests.viewer.scenes import found, street

FRAME = street()
NASTY = "</script><img src=x onerror=alert(1)> & <!--DATA-->"
METRICS = {
    "ap": {"0.5": 0.7421, "0.7": None},
    "bytes_per_frame": {"mean": 1412.4, "p50": 400, "p95": 2000},
    "frames": 3,
    "protocol": "simulated",
    "protocol_hash": "3f2a9c01",
    "weights_sha256": "ab" * 32,
    "command": f"cosense evaluate {NASTY}",
}


def pages(count: int) -> list[ReportFrame]:
    detections = Detections.concatenate([found(FRAME, [0, 2]), found(FRAME, [6], Source.LATE)])
    peers = [PeerReport("mast", 412, "boxes"), PeerReport("stranger", 40, "nothing", "wrong magic")]
    return [
        ReportFrame(dataclasses.replace(FRAME, frame_id=f"frame {i}"), detections, peers)
        for i in range(count)
    ]


class Page(HTMLParser):
    """Collects tags, attributes and texts."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        data = re.search(r'<script type="application/json" id="data">(.*?)</script>', self.source, re.DOTALL)
        assert data is not None
        self.data: dict[str, Any] = json.loads(data[1])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_one_file_that_asks_for_nothing(tmp_path: Path) -> None:
    write_report(tmp_path / "deep" / "report.html", pages(1), METRICS)
    page = Page(tmp_path / "deep" / "report.html")
    assert not re.search(r"https?:|@import|url\(|fetch|XMLHttpRequest|import\(", page.source)
    assert not {"link", "img", "iframe", "object"} & set(page.tags)
    assert not {name for name, _ in page.attributes} & {"src", "href"}
    assert not re.search(r"<!--[A-Z]+-->", page.source), "every part of the template is filled in"
    assert "default-src 'none'" in page.source


def test_data_come_back(tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", pages(3), METRICS)
    data = Page(tmp_path / "report.html").data
    assert [frame["id"] for frame in data["frames"]] == ["frame 0", "frame 1", "frame 2"]
    assert list(data["colors"]) == ["vehicle", "mast"]
    xy = np.frombuffer(base64.b64decode(data["frames"][0]["agents"][0]["xy"]), "<i2").reshape(-1, 2) / 100
    near = np.abs(FRAME.ego.points[:, :2]).max(axis=1) < 30
    distance, _ = KDTree(xy).query(FRAME.ego.points[near, :2])
    assert distance.max() < 0.15, "every point has one in its cell of 10 cm"
    assert data["frames"][0]["peers"][0]["bytes"] == 412


def test_figures_and_metrics_are_shown_and_text_stays_text(tmp_path: Path) -> None:
    frame = dataclasses.replace(FRAME, frame_id=NASTY)
    page_of = ReportFrame(frame, Detections.empty(), [PeerReport(NASTY, 1, "nothing", NASTY)])
    write_report(tmp_path / "report.html", [page_of], METRICS | {"model": NASTY})
    page = Page(tmp_path / "report.html")
    assert "img" not in page.tags
    assert page.source.count("</script>") == 2
    assert page.data["frames"][0]["id"] == page.data["frames"][0]["peers"][0]["reason"] == NASTY
    assert html.escape(NASTY) in page.source
    for figure in ("0.742", "1,412", "3f2a9c01", "ab" * 32):
        assert any(figure in text for text in page.texts), figure
    assert "0.000" not in page.texts, "an AP that is not defined is not zero"


def test_heading_and_nested_metrics(tmp_path: Path) -> None:
    metrics = {
        "dataset": {"kind": "dair-v2x-c", "frames": 9},
        "model": "pillars-lite",
        "fusion": "late",
        "ap_per_class": {"CAR": {"bev": {"0.5": 0.71}, "3d": {"0.5": None}}},
    }
    write_report(tmp_path / "report.html", [], metrics)
    texts = Page(tmp_path / "report.html").texts
    assert texts.count("cosense · dair-v2x-c · pillars-lite · late fusion") == 2, "title and heading"
    assert "CAR bev 0.5: 0.71   ·   CAR 3d 0.5: –" in texts


@pytest.mark.parametrize("metrics", [{}, {"ap": {}}, {"frames": 0, "ap": {"0.5": None}}], ids=str)
def test_missing_metrics_are_left_out(metrics: dict[str, Any], tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", pages(1), metrics)
    assert "None" not in Page(tmp_path / "report.html").source


def test_fifty_frames_of_full_clouds_fit_into_five_megabytes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    points = np.column_stack(
        [rng.uniform(-60, 60, (20_000, 2)), rng.uniform(-1.9, 3, 20_000), np.ones(20_000)]
    )
    ego = dataclasses.replace(FRAME.ego, points=points.astype(np.float32))
    page = dataclasses.replace(pages(1)[0], frame=dataclasses.replace(FRAME, agents={"vehicle": ego}))
    write_report(tmp_path / "report.html", [page] * 50, METRICS)
    assert 3e6 < (tmp_path / "report.html").stat().st_size < 5e6


def _without_points(page: ReportFrame) -> ReportFrame:
    nothing = np.zeros((0, 4), np.float32)
    agents = {name: dataclasses.replace(a, points=nothing) for name, a in page.frame.agents.items()}
    return dataclasses.replace(page, frame=dataclasses.replace(page.frame, agents=agents))


VARIANTS = {
    "full": pages(3),
    "no frames": [],
    "nothing at all": [
        ReportFrame(
            dataclasses.replace(_without_points(pages(1)[0]).frame, ground_truth=Objects.empty()),
            Detections.empty(),
        )
    ],
    "agents that come and go": [ReportFrame(street(unit=False, objects=False), found(FRAME, [0])), *pages(1)],
}

# What the page itself has decoded, written where --dump-dom shows it.
PROBE = """<script>
const sum = (values) => values.reduce((total, value) => total + value, 0);
const frame = DATA.frames.length ? frameAt(0) : { clouds: [], detections: [], truth: [] };
const pixels = (image) => image.getContext("2d").getImageData(0, 0, image.width, image.height).data;
document.body.append(element("output", JSON.stringify({
  xy: frame.clouds.map((cloud) => sum(cloud.xy)),
  height: frame.clouds.map((cloud) => sum(cloud.height)),
  seen: frame.seen ? pixels(frame.seen).filter((value, i) => i % 4 === 3 && value).length : 0,
  items: DATA.frames.length ? itemsOf(frame, settings).length : 0,
}), "probe"));
settings.mode = "outcome";
["ArrowRight", "End", "Home", " ", " "].forEach((key) =>
  document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true })));
</script>"""


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_browser_opens_it_without_an_error(variant: str, tmp_path: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium on this machine")
    path = tmp_path / "report.html"
    write_report(path, VARIANTS[variant], METRICS)
    path.write_text(path.read_text(encoding="utf-8").replace("</body>", f"{PROBE}</body>"), encoding="utf-8")
    options = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
        "--disable-component-update --disable-sync --enable-logging=stderr --v=0 --virtual-time-budget=2000 "
        f"--dump-dom --user-data-dir={tmp_path / 'profile'}"
    )
    result = subprocess.run(
        [chromium, *options.split(), path.as_uri()], capture_output=True, text=True, timeout=60
    )
    assert "CONSOLE" not in result.stderr, result.stderr
    probe = re.search(r'<output class="probe">(.*?)</output>', result.stdout)
    assert probe is not None, result.stderr
    decoded = json.loads(probe[1])
    data = Page(path).data
    if not data["frames"]:
        assert "No frames in this report" in result.stdout
        return
    frame = data["frames"][0]
    clouds = [np.frombuffer(base64.b64decode(agent["xy"]), "<i2") for agent in frame["agents"]]
    heights = [np.frombuffer(base64.b64decode(agent["height"]), np.uint8) for agent in frame["agents"]]
    assert decoded["xy"] == [int(cloud.sum()) for cloud in clouds]
    assert decoded["height"] == [int(height.sum()) for height in heights]
    runs = np.frombuffer(base64.b64decode(frame["seen"]), "<u2")
    assert decoded["seen"] == int((runs & 0x3FFF)[runs >> 14 > 0].sum())
    assert decoded["items"] == len(frame["truth"]) + len(frame["detections"])
    assert f"1 / {len(data['frames'])}" in result.stdout
