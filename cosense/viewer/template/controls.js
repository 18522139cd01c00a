"use strict";

// Slider, keys, mouse, toggles; the state is `settings` and `current`.

const PLAY_PERIOD_MS = 100;
const $ = (id) => document.getElementById(id);
const scene = new Scene($("view"));
const settings = {
  agents: Object.fromEntries(Object.keys(DATA.colors).map((id) => [id, true])),
  sources: Object.fromEntries(Object.keys(DATA.palette.sources).map((source) => [source, true])),
  truth: true,
  seen: true,
  score: DATA.min_score,
  mode: "source",
};
let current = 0;
let playing = null;
const charts = [];
const counters = [];

function redraw() {
  if (!DATA.frames.length) return;
  const frame = frameAt(current);
  scene.draw(frame, settings);
  counters.forEach(({ node, count }) => (node.textContent = count(frame)));
}

function show(index) {
  current = Math.min(DATA.frames.length - 1, Math.max(0, index));
  $("tooltip").hidden = true;
  $("frame").value = current;
  $("frame-text").textContent = `${current + 1} / ${DATA.frames.length}`;
  showFrameInfo(DATA.frames[current]);
  charts.forEach((chart) => chart.draw(current));
  redraw();
}

function showFrameInfo(frame) {
  const info = $("frame-info");
  info.replaceChildren(element("h2", "Frame"), element("b", frame.id));
  if (frame.sequence && frame.sequence !== frame.id) info.append(element("div", `sequence ${frame.sequence}`));
  for (const peer of frame.peers) {
    const line = document.createElement("div");
    const use = peer.used_for === "nothing" ? "not used" : peer.used_for;
    line.append(element("span", peer.sender), element("span", `${peer.bytes.toLocaleString("en")} bytes · ${use}`));
    info.append(line);
    if (peer.reason) info.append(element("div", peer.reason, "reason"));
  }
}

function play(start) {
  clearInterval(playing);
  playing = null;
  if (start) {
    if (current >= DATA.frames.length - 1) show(0);
    playing = setInterval(() => (current < DATA.frames.length - 1 ? show(current + 1) : play(false)), PLAY_PERIOD_MS);
  }
  $("play").textContent = playing ? "❚❚" : "▶";
}

function addToggle(parent, name, color, checked, onChange, count) {
  const label = document.createElement("label");
  const input = document.createElement("input");
  input.type = "checkbox";
  input.checked = checked;
  input.addEventListener("change", () => {
    onChange(input.checked);
    redraw();
  });
  label.append(input, element("span", name));
  if (color) {
    const swatch = element("span", "", "swatch");
    swatch.style.background = color;
    input.after(swatch);
  }
  if (count) {
    const node = element("span", "", "count");
    label.append(node);
    counters.push({ node, count });
  }
  $(parent).append(label);
}

function addControls() {
  const { palette } = DATA;
  for (const [id, color] of Object.entries(DATA.colors)) {
    addToggle("agents", id, color, true, (on) => (settings.agents[id] = on), (frame) => {
      const agent = frame.agents.find((candidate) => candidate.id === id);
      return agent ? agent.points.toLocaleString("en") : "absent";
    });
  }
  addToggle("boxes", "ground truth", palette.ground_truth, true, (on) => (settings.truth = on), (f) => f.truth.length);
  for (const [source, { name, color }] of Object.entries(palette.sources)) {
    if (!DATA.frames.some((frame) => frame.detections.some((d) => d.source === source))) continue;
    addToggle("boxes", name, color, true, (on) => (settings.sources[source] = on), (frame) =>
      frame.detections.filter((d) => d.source === source && d.score >= settings.score).length,
    );
  }
  addToggle("ground", "show what is seen", "", true, (on) => (settings.seen = on));
  $("ground").append(
    legendLine("by the ego", palette.seen_by_ego, "swatch ground"),
    legendLine("only by others", palette.seen_by_others, "swatch ground"),
    legendLine("by nobody", "", "swatch ground hatched"),
  );
  const { found, missed, false: wrong } = palette.outcomes;
  $("outcomes").append(
    legendLine("found", found, "swatch"),
    legendLine("missed", missed, "swatch"),
    legendLine("false alarm", wrong, "swatch"),
  );
  $("score").value = settings.score;
  $("score").addEventListener("input", () => {
    settings.score = Number($("score").value);
    showScore();
    redraw();
  });
  showScore();
  document.querySelectorAll("input[name=mode]").forEach((input) =>
    input.addEventListener("change", () => {
      settings.mode = input.value;
      $("outcomes").hidden = input.value !== "outcome";
      redraw();
    }),
  );
}

function showScore() {
  $("score-text").textContent = settings.score.toFixed(2);
}

function legendLine(name, color, className) {
  const line = element("label", "");
  const swatch = element("span", "", className);
  if (color) swatch.style.background = color;
  line.append(swatch, element("span", name));
  return line;
}

function addCharts() {
  const senders = [...new Set(DATA.frames.flatMap((frame) => frame.peers.map((peer) => peer.sender)))];
  const sum = (frame, sender) =>
    frame.peers.filter((peer) => peer.sender === sender).reduce((bytes, peer) => bytes + peer.bytes, 0);
  if (senders.length) {
    const series = senders.map((sender) => ({
      name: sender,
      color: DATA.colors[sender] || DATA.palette.muted,
      values: DATA.frames.map((frame) => sum(frame, sender)),
    }));
    charts.push(new Chart($("charts"), "Bytes received in each frame", series, [], show));
  }
  const series = Object.entries(DATA.palette.sources).map(([source, { name, color }]) => ({
    name,
    color,
    values: DATA.frames.map((f) => f.detections.filter((d) => d.source === source && d.score >= DATA.min_score).length),
  }));
  const lines = [{ name: "ground truth", color: DATA.palette.ground_truth, values: DATA.frames.map((f) => f.truth.length) }];
  const used = series.filter((one) => one.values.some((value) => value > 0));
  if (used.length) charts.push(new Chart($("charts"), "Boxes in each frame", used, lines, show));
}

function addMouse() {
  const canvas = $("view");
  let grabbed = null;
  const place = (event) => {
    const ratio = canvas.width / canvas.clientWidth;
    return [event.offsetX * ratio, event.offsetY * ratio];
  };
  canvas.addEventListener("pointerdown", (event) => {
    grabbed = scene.toMetres(...place(event));
    canvas.setPointerCapture(event.pointerId);
    canvas.classList.add("moving");
  });
  for (const end of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(end, () => {
      grabbed = null;
      canvas.classList.remove("moving");
    });
  }
  canvas.addEventListener("pointermove", (event) => {
    const metres = scene.toMetres(...place(event));
    if (grabbed) {
      scene.center = scene.center.map((value, axis) => value + grabbed[axis] - metres[axis]);
      redraw();
    } else {
      hover(event, metres);
    }
  });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const before = scene.toMetres(...place(event));
    scene.zoom = Math.min(40, Math.max(0.5, scene.zoom * 1.0015 ** -event.deltaY));
    const after = scene.toMetres(...place(event));
    scene.center = scene.center.map((value, axis) => value + before[axis] - after[axis]);
    redraw();
  }, { passive: false });
  canvas.addEventListener("dblclick", () => {
    scene.resetView();
    redraw();
  });
  canvas.addEventListener("pointerleave", () => ($("tooltip").hidden = true));
}

function hover(event, [x, y]) {
  const items = itemsOf(frameAt(current), settings).reverse();
  const item = items.find(({ box }) => isInside(box, x, y));
  const tooltip = $("tooltip");
  tooltip.hidden = !item;
  if (!item) return;
  const [title, ...lines] = item.text;
  const [, , length, width] = item.box;
  const size = `${length.toFixed(1)} × ${width.toFixed(1)} m`;
  const distance = `${Math.hypot(item.box[0], item.box[1]).toFixed(0)} m from the ego`;
  tooltip.replaceChildren(element("b", title), [...lines, `${size}, ${distance}`].filter(Boolean).join("\n"));
  const room = $("view").clientWidth - event.offsetX;
  tooltip.style.left = room > 300 ? `${event.offsetX + 14}px` : "";
  tooltip.style.right = room > 300 ? "" : `${room + 14}px`;
  const below = $("view").clientHeight - event.offsetY;
  tooltip.style.top = below > 150 ? `${event.offsetY + 14}px` : "";
  tooltip.style.bottom = below > 150 ? "" : `${below + 14}px`;
}

function addKeys() {
  const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 };
  document.body.addEventListener("keydown", (event) => {
    if (event.target.matches("#score, input[type=radio]")) return;
    if (event.key in steps) show(current + steps[event.key]);
    else if (event.key === "Home") show(0);
    else if (event.key === "End") show(DATA.frames.length - 1);
    else if (event.key === " " && !event.target.matches("button, summary, input[type=checkbox]")) play(!playing);
    else return;
    event.preventDefault();
  });
}

function start() {
  if (!DATA.frames.length) {
    $("empty").hidden = false;
    document.querySelectorAll("aside, .transport, .hint").forEach((node) => (node.hidden = true));
    return;
  }
  $("transport").hidden = DATA.frames.length === 1;
  $("frame").max = DATA.frames.length - 1;
  $("frame").addEventListener("input", () => show(Number($("frame").value)));
  $("play").addEventListener("click", () => play(!playing));
  addControls();
  if (DATA.frames.length > 1) addCharts();
  addMouse();
  addKeys();
  const refit = () => {
    scene.resize();
    charts.forEach((chart) => chart.draw(current));
    redraw();
  };
  new ResizeObserver(refit).observe($("view"));
  scene.resize();
  const wanted = Number(location.hash.slice(1)) - 1;
  show(wanted >= 0 ? wanted : 0);
}

start();
