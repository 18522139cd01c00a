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

import cv2
import numpy as np
import pytest
from scipy.spatial import KDTree

from cosense.cooperation.outcome import FusionResult
from cosense.data.dataset import Provenance
from cosense.evaluation.metrics.scoring import most_points_of_one_agent
from cosense.evaluation.protocol import load_protocol
from cosense.messages.reports import PeerReport
from cosense.sensing.detections import Detections, Source
from cosense.sensing.frame import Camera
from cosense.sensing.objects import Objects
from cosense.viewer.annotations import fitting_extent
from cosense.viewer.html_report import write_report
from cosense.viewer.pack import ReportFrame, pack_frame, pack_grid
from tests.viewer.scenes import false_alarm, found, street

FRAME = street()
NASTY = "</script><img src=x onerror=alert(1)> & <!--DATA-->"
PROTOCOL = load_protocol("simulated")
FACTS = {
    "ap": {"0.5": 0.1234},
    "bytes_per_frame": {"mean": 1412.4, "p50": 400, "p95": 2000},
    "frames": 3,
    "protocol": "simulated",
    "protocol_hash": "3f2a9c01",
    "weights_sha256": "ab" * 32,
    "command": f"cosense evaluate {NASTY}",
}
# How many objects of the street any agent sees well enough to count.
NUM_COUNTED = int((most_points_of_one_agent(FRAME) >= 5).sum())


def pages(count: int) -> list[ReportFrame]:
    """Return frames in which the ego finds two cars, and from the second on a third one with the unit."""
    peers = [PeerReport("mast", 412, "boxes"), PeerReport("stranger", 40, "nothing", "wrong magic")]
    own = found(FRAME, [0, 2])
    frames = []
    for index in range(count):
        together = Detections.concatenate([own, *([found(FRAME, [6], Source.LATE)] if index else [])])
        alone = Detections.concatenate([own, false_alarm()])
        frame = dataclasses.replace(FRAME, frame_id=f"frame {index}")
        frames.append(ReportFrame(frame, FusionResult(together, peers), alone))
    return frames


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
    write_report(tmp_path / "deep" / "report.html", pages(1), FACTS, PROTOCOL)
    page = Page(tmp_path / "deep" / "report.html")
    assert not re.search(r"https?:|@import|url\(|fetch|XMLHttpRequest|import\(", page.source)
    assert not {"link", "img", "iframe", "object"} & set(page.tags)
    assert not {name for name, _ in page.attributes} & {"src", "href"}
    assert not re.search(r"<!--[A-Z]+-->", page.source), "every part of the template is filled in"
    assert "default-src 'none'" in page.source


def test_images_are_in_the_page_with_their_boxes(tmp_path: Path) -> None:
    forward = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    K = np.array([[300.0, 0, 320], [0, 300, 180], [0, 0, 1]])
    camera = Camera("front", np.full((360, 640, 3), 40, np.uint8), K, forward, 0)
    agents = FRAME.agents | {"vehicle": dataclasses.replace(FRAME.ego, cameras=(camera,))}
    (page,) = pages(1)
    page = dataclasses.replace(page, frame=dataclasses.replace(page.frame, agents=agents))
    write_report(tmp_path / "report.html", [page], FACTS, PROTOCOL)
    found = Page(tmp_path / "report.html")
    assert "img-src data:" in found.source
    ((image,),) = (frame["images"] for frame in found.data["frames"])
    assert (image["agent"], image["camera"]) == ("vehicle", "front")
    jpeg = base64.b64decode(image["jpeg"])
    pixels = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert pixels.shape == (270, 480, 3)
    # The car 18 m ahead is framed; the sky above is as it was.
    assert pixels[135:165, 225:255].max() > 150
    assert abs(pixels[:60].astype(int) - 40).max() < 6


def test_data_come_back(tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", pages(3), FACTS, PROTOCOL)
    data = Page(tmp_path / "report.html").data
    assert [frame["id"] for frame in data["frames"]] == ["frame 0", "frame 1", "frame 2"]
    assert list(data["colors"]) == ["vehicle", "mast"]
    xy = np.frombuffer(base64.b64decode(data["frames"][0]["agents"][0]["xy"]), "<i2").reshape(-1, 2) / 100
    near = np.abs(FRAME.ego.points[:, :2]).max(axis=1) < 30
    distance, _ = KDTree(xy).query(FRAME.ego.points[near, :2])
    assert distance.max() < 0.15, "every point has one in its cell of 10 cm"
    assert data["frames"][0]["peers"][0]["bytes"] == 412


def test_facts_are_shown_in_words_and_text_stays_text(tmp_path: Path) -> None:
    """Kind: names that are HTML, and a table of raw keys."""
    result = FusionResult(Detections.empty(), [PeerReport(NASTY, 1, "nothing", NASTY)])
    agents = {NASTY: dataclasses.replace(FRAME.ego, agent_id=NASTY)}
    frame = dataclasses.replace(FRAME, frame_id=NASTY, ego_id=NASTY, agents=agents)
    facts = FACTS | {"model": NASTY, "device_of_the_future": {"name": NASTY, "count": 2}}
    write_report(tmp_path / "report.html", [ReportFrame(frame, result)], facts, PROTOCOL)
    page = Page(tmp_path / "report.html")
    assert "img" not in page.tags
    assert page.source.count("</script>") == 2
    assert page.data["frames"][0]["id"] == page.data["frames"][0]["peers"][0]["reason"] == NASTY
    assert html.escape(NASTY) in page.source
    for text in ("mean 1,412 bytes   ·   p50 400 bytes   ·   p95 2,000 bytes", "3f2a9c01", "ab" * 32):
        assert text in page.texts
    for name in ("Weights, SHA-256", "Device of the future", f"name: {NASTY}   ·   count: 2"):
        assert name in page.texts, "what is not known to the table is there too"
    assert "12.3" not in page.texts, "the figures are those of the frames in the report"


def test_figures_are_those_of_the_frames_alone_and_together(tmp_path: Path) -> None:
    """Kind: the report says nothing of what cooperation adds."""
    write_report(tmp_path / "report.html", pages(2), {}, PROTOCOL)
    texts = Page(tmp_path / "report.html").texts
    assert "alone → together" in texts
    # Of the counted objects of two frames, two are found in each, and one more in the second together.
    assert texts[texts.index(f"found of {2 * NUM_COUNTED}") - 1] == "4 → 5"
    assert texts[texts.index("bytes a sender and frame") - 1] == f"{(412 + 40) / 2:,.0f}"
    row = texts.index("vehicle")
    assert texts[row + 1] == str(2 * NUM_COUNTED)
    alone, together, gain = map(float, texts[row + 2 : row + 5])
    # Two thirds of precision alone, one of three boxes being a false alarm with the same best scores.
    assert together == pytest.approx(100 * 5 / (2 * NUM_COUNTED), abs=0.1)
    assert 0 < alone < together
    assert gain == pytest.approx(together - alone, abs=0.11)


def test_heading_names_data_model_and_fusion(tmp_path: Path) -> None:
    facts = {"dataset": {"kind": "dair-v2x-c", "frames": 9}, "model": "pillars-lite", "fusion": "late"}
    write_report(tmp_path / "report.html", [], facts, PROTOCOL)
    texts = Page(tmp_path / "report.html").texts
    assert texts.count("dair-v2x-c · pillars-lite · late fusion") == 2, "title and heading"
    assert "dair-v2x-c   ·   frames 9" in texts


def test_the_heading_begins_with_what_made_the_frames(tmp_path: Path) -> None:
    """Kind: simulated data titled by their layout: the frames know better than whoever writes the report."""
    made = Provenance("cosense", ("dair-v2x-c",)).changed("pose error of unit")
    frame = dataclasses.replace(FRAME, provenance=made)
    write_report(tmp_path / "report.html", [ReportFrame(frame)], {"model": "cosense-lite"}, PROTOCOL)
    texts = Page(tmp_path / "report.html").texts
    title = "simulated by cosense (layout of dair-v2x-c, pose error of unit) · cosense-lite"
    assert texts.count(title) == 2, "title and heading"


def test_what_is_not_defined_is_no_number(tmp_path: Path) -> None:
    nobody = dataclasses.replace(FRAME, ground_truth=Objects.empty())
    facts = {"budget_bytes": None, "ms_per_frame": {"mean": None}, "trust": [], "live": False}
    write_report(tmp_path / "report.html", [ReportFrame(nobody, pages(1)[0].result)], facts, PROTOCOL)
    page = Page(tmp_path / "report.html")
    assert not any("AP@" in text for text in page.texts if len(text) < 20)
    assert "None" not in page.source.replace('"None"', "")
    assert not page.data["labelled"]


def test_fifty_frames_of_full_clouds_fit_into_five_megabytes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    points = np.column_stack(
        [rng.uniform(-60, 60, (20_000, 2)), rng.uniform(-1.9, 3, 20_000), np.ones(20_000)]
    )
    ego = dataclasses.replace(FRAME.ego, points=points.astype(np.float32))
    page = dataclasses.replace(pages(1)[0], frame=dataclasses.replace(FRAME, agents={"vehicle": ego}))
    write_report(tmp_path / "report.html", [page] * 50, FACTS, PROTOCOL)
    assert 3e6 < (tmp_path / "report.html").stat().st_size < 5e6


def _without_points(page: ReportFrame) -> ReportFrame:
    nothing = np.zeros((0, 4), np.float32)
    agents = {name: dataclasses.replace(a, points=nothing) for name, a in page.frame.agents.items()}
    return dataclasses.replace(page, frame=dataclasses.replace(page.frame, agents=agents))


LONG_NAME = "a_roadside_unit_at_the_corner_of_a_very_long_street_number_" + "1234567890" * 4
VARIANTS = {
    "full": pages(3),
    "no frames": [],
    "no model": [ReportFrame(FRAME)] * 2,
    "nothing at all": [
        ReportFrame(
            dataclasses.replace(_without_points(pages(1)[0]).frame, ground_truth=Objects.empty()),
            FusionResult(Detections.empty(), []),
        )
    ],
    "no labels": [
        dataclasses.replace(page, frame=dataclasses.replace(page.frame, ground_truth=Objects.empty()))
        for page in pages(2)
    ],
    "agents that come and go": [
        ReportFrame(street(unit=False, objects=False), FusionResult(found(FRAME, [0]), [])),
        *pages(1),
    ],
    "sixty frames": pages(1) * 60,
    "names": [
        ReportFrame(
            dataclasses.replace(
                FRAME,
                frame_id=LONG_NAME,
                sequence=NASTY,
                ego_id=NASTY,
                agents={
                    name: dataclasses.replace(agent, agent_id=name)
                    for name, agent in zip((NASTY, LONG_NAME), FRAME.agents.values(), strict=True)
                },
            ),
            FusionResult(found(FRAME, [0]), [PeerReport(LONG_NAME, 412, "nothing", NASTY * 5)]),
        )
    ]
    * 2,
}
WIDTHS_PX = {"phone": (390, 844), "desk": (1280, 800)}

# What a reader does, and what the page shows then; reported to the page around it.
PROBE = """<script>
const sum = (values) => values.reduce((total, value) => total + value, 0);
const pixels = (image) => image.getContext("2d").getImageData(0, 0, image.width, image.height).data;
const seen = (image) => pixels(image).filter((value, i) => i % 4 === 3 && value).length;
const set = (node, value) => {
  node.value = value;
  node.dispatchEvent(new Event("input", { bubbles: true }));
};
const choose = (name, value) => document.querySelector(`input[name=${name}][value=${value}]`).click();
const boxes = () =>
  itemsOf(frameAt(current), settings).map(({ box, color, text }) => [box[0], color, text[text.length - 1]]);
const state = () => ({ answer: $("answer").textContent, boxes: boxes(),
  counts: [...document.querySelectorAll("#outcomes .count")].map((node) => Number(node.textContent)) });
const isShown = (node) => node.getClientRects().length && getComputedStyle(node).visibility !== "hidden";
const outside = () => [...document.querySelectorAll("body *")].filter((node) => isShown(node) &&
  (node.getBoundingClientRect().right > innerWidth + 0.5 || node.getBoundingClientRect().left < -0.5))
  .map((node) => `${node.tagName} ${node.id} ${node.className}`);
const report = { outside: outside(), width: document.documentElement.scrollWidth };
if (DATA.frames.length) {
  const { top, bottom } = $("transport").getBoundingClientRect();
  const frame = frameAt(0);
  Object.assign(report, {
    transport: [top, bottom], compared: !$("views").hidden, mode: settings.mode,
    position: $("frame-text").textContent,
    xy: frame.clouds.map((cloud) => sum(cloud.xy)), height: frame.clouds.map((cloud) => sum(cloud.height)),
    seen: [seen(frame.seen.together), seen(frame.seen.alone)],
    frames: DATA.frames.slice(0, 3).map((_, index) => { set($("frame"), index); return state(); }),
  });
  if (report.compared) {
    choose("view", "alone");
    report.alone = state();
    choose("view", "together");
    set($("score"), 0.95);
    report.strict = state();
    set($("score"), 0);
  }
  if (!$("modes").hidden) { choose("mode", "source"); report.by_source = state(); choose("mode", "outcome"); }
  ["ArrowRight", "End", "Home", " ", " "].forEach((key) =>
    document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true })));
}
parent.postMessage({ name: location.hash.slice(1), report }, "*");
</script>"""
AROUND = """<!DOCTYPE html><body><output id="reports"></output><script>
const reports = {};
addEventListener("message", ({ data }) => {
  reports[decodeURIComponent(data.name)] = data.report;
  document.getElementById("reports").textContent = JSON.stringify(reports);
});
</script>"""
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
OPTIONS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --enable-logging=stderr --v=0 --virtual-time-budget=2000 "
    "--dump-dom"
)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Open all variants of the report in one browser, from files, and return what each page has shown."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip(f"no browser on this machine, looked for {', '.join(BROWSERS)}")
    folder = tmp_path_factory.mktemp("reports")
    around = AROUND
    for number, (name, variant) in enumerate(VARIANTS.items()):
        path = folder / f"{number}.html"
        write_report(path, variant, FACTS, PROTOCOL)
        text = path.read_text(encoding="utf-8").replace("</body>", f"{PROBE}</body>")
        path.write_text(text, encoding="utf-8")
        for device, (width, height) in WIDTHS_PX.items():
            if device == "phone" or name == "full":
                around += (
                    f'<iframe width="{width}" height="{height}" style="border: 0" '
                    f'src="{number}.html#{name}, {device}"></iframe>'
                )
    (folder / "all.html").write_text(around, encoding="utf-8")
    command = [browser, *OPTIONS.split(), f"--user-data-dir={folder / 'profile'}"]
    result = subprocess.run(
        [*command, (folder / "all.html").as_uri()], capture_output=True, text=True, timeout=120
    )
    errors = [line for line in result.stderr.splitlines() if "CONSOLE" in line]
    assert not errors, "\n".join(errors)
    shown = re.search(r'<output id="reports">(.*?)</output>', result.stdout, re.DOTALL)
    assert shown is not None, result.stderr
    return dict(json.loads(html.unescape(shown[1])))


def test_a_browser_opens_every_variant_without_an_error(opened: dict[str, dict[str, Any]]) -> None:
    """Kind: no frames, one, sixty; no model, no labels, no points; agents that come and go; hostile names."""
    assert set(opened) == {"full, desk", *(f"{name}, phone" for name in VARIANTS)}
    assert opened["nothing at all, phone"]["position"] == "1 / 1"
    assert opened["sixty frames, phone"]["position"] == "1 / 60"
    assert opened["no labels, phone"]["mode"] == opened["no model, phone"]["mode"] == "source"
    assert opened["no labels, phone"]["frames"][1]["answer"] == "3 boxes"
    assert opened["no model, phone"]["frames"][0]["answer"] == ""


def test_nothing_lies_outside_of_the_view(opened: dict[str, dict[str, Any]]) -> None:
    """Kind: parts that are wider than a phone, or far below the picture that they move."""
    for name, page in opened.items():
        width, height = WIDTHS_PX[name.split(", ")[-1]]
        assert page["outside"] == [], name
        assert page["width"] <= width, name
        if "frames" in page and name != "names, phone":
            assert 0 <= page["transport"][0] <= page["transport"][1] <= height, f"{name}: the play bar"


def test_the_page_shows_what_was_packed(opened: dict[str, dict[str, Any]]) -> None:
    page = opened["full, desk"]
    (packed,) = [pack_of(VARIANTS["full"][0])]
    clouds = [np.frombuffer(base64.b64decode(agent["xy"]), "<i2") for agent in packed["agents"]]
    heights = [np.frombuffer(base64.b64decode(agent["height"]), np.uint8) for agent in packed["agents"]]
    assert page["xy"] == [int(cloud.sum()) for cloud in clouds]
    assert page["height"] == [int(height.sum()) for height in heights]
    runs = np.frombuffer(base64.b64decode(packed["seen"]), "<u2")
    by_somebody, by_ego = (int((runs & 0x3FFF)[runs >> 14 >= least].sum()) for least in (1, 2))
    assert page["seen"] == [by_somebody, by_ego]


def test_it_opens_on_what_was_added_and_missed_and_counts_follow_the_frame(
    opened: dict[str, dict[str, Any]],
) -> None:
    """Kind: the first view hides the answer to the main question."""
    for device in WIDTHS_PX:
        page = opened[f"full, {device}"]
        assert page["mode"] == "outcome"
        first, second, _ = page["frames"]
        assert first["answer"] == f"2 of {NUM_COUNTED} objects found · 0 false alarms"
        assert (
            second["answer"] == f"3 of {NUM_COUNTED} objects found, 1 of them only together · 0 false alarms"
        )
        left_out = len(FRAME.ground_truth) - NUM_COUNTED
        assert first["counts"] == [2, 0, NUM_COUNTED - 2, 0, left_out]
        assert second["counts"] == [2, 1, NUM_COUNTED - 3, 0, left_out]


def test_alone_and_together_show_other_boxes(opened: dict[str, dict[str, Any]]) -> None:
    """Kind: the claim of the project cannot be seen in its own report."""
    page = opened["full, phone"]
    together, alone = page["frames"][2], page["alone"]
    left_out = len(FRAME.ground_truth) - NUM_COUNTED
    assert alone["answer"] == f"2 of {NUM_COUNTED} objects found · 1 false alarm"
    assert alone["counts"] == [2, 0, NUM_COUNTED - 2, 1, left_out]
    (only_alone,) = [box for box in alone["boxes"] if box[2] == "false alarm"]
    assert only_alone[0] == pytest.approx(8.0)
    assert only_alone not in together["boxes"]
    assert [box[2] for box in together["boxes"]].count("found only together") == 1
    assert not any(box[2] == "found only together" for box in alone["boxes"])


def test_counts_follow_the_score(opened: dict[str, dict[str, Any]]) -> None:
    strict = opened["full, phone"]["strict"]
    assert strict["answer"] == f"0 of {NUM_COUNTED} objects found · 0 false alarms"
    assert strict["counts"][2] == NUM_COUNTED


def test_colours_say_where_a_box_came_from_on_request(opened: dict[str, dict[str, Any]]) -> None:
    page = opened["full, desk"]
    by_source = {box[1] for box in page["by_source"]["boxes"]}
    by_outcome = {box[1] for box in page["frames"][2]["boxes"]}
    assert {"#F5A02C", "#56B4E9"} < by_source
    assert not by_source & by_outcome - {"#FFFFFF", "#7F8C99"}, "no colour has two meanings"


def pack_of(page: ReportFrame) -> dict[str, Any]:
    """Return a frame as the report of the variant holds it."""
    view = fitting_extent(page.frame)
    return pack_frame(page, pack_grid(view), 40_000, PROTOCOL)
