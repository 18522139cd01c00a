"use strict";

// Slider, keys, mouse, toggles; the state is `settings` and `current`.

const PLAY_PERIOD_MS = 100;
const $ = (id) => document.getElementById(id);
const scene = new Scene($("view"));
const settings = {
  view: "together",
  mode: DATA.labelled ? "outcome" : "source",
  agents: Object.fromEntries(Object.keys(DATA.colors).map((id) => [id, true])),
  sources: Object.fromEntries(Object.keys(DATA.palette.sources).map((source) => [source, true])),
  outcomes: Object.fromEntries([...Object.keys(DATA.palette.outcomes), "uncounted"].map((name) => [name, true])),
  truth: true,
  seen: true,
  score: DATA.min_score,
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
  $("answer").textContent = answerOf(frame);
  charts.forEach((chart) => chart.draw(current));
}

function answerOf(frame) {
  if (!DATA.detected) return "";
  if (!DATA.labelled) return counted(resultOf(frame, settings.view, settings.score).detections.length, "box", "boxes");
  const { found, added, objects, false: alarms } = countsOf(frame, settings.view, settings.score);
  const only = added ? `, ${added} of them only together` : "";
  return `${found + added} of ${counted(objects, "object")} found${only} · ${counted(alarms, "false alarm")}`;
}

function counted(number, one, many = `${one}s`) {
  return `${number} ${number === 1 ? one : many}`;
}

function show(index) {
  current = Math.min(DATA.frames.length - 1, Math.max(0, index));
  $("tooltip").hidden = true;
  $("frame").value = current;
  $("frame-text").textContent = `${current + 1} / ${DATA.frames.length}`;
  showFrameInfo(DATA.frames[current]);
  showImages(DATA.frames[current]);
  redraw();
}

function showFrameInfo(frame) {
  const info = $("frame-info");
  info.replaceChildren(element("h2", "Frame"), element("b", frame.id));
  if (frame.sequence && frame.sequence !== frame.id) info.append(element("div", `sequence ${frame.sequence}`));
  if (frame.peers.length) info.append(element("h2", "Messages"));
  for (const peer of frame.peers) {
    const line = document.createElement("div");
    const use = peer.used_for === "nothing" ? "not used" : peer.used_for;
    line.append(element("span", peer.sender), element("span", `${peer.bytes.toLocaleString("en")} bytes · ${use}`));
    info.append(line);
    if (peer.reason) info.append(element("div", peer.reason, "reason"));
  }
}

function showImages(frame) {
  const figures = frame.images.map(({ agent, camera, jpeg }) => {
    const figure = document.createElement("figure");
    const image = document.createElement("img");
    image.src = `data:image/jpeg;base64,${jpeg}`;
    image.alt = `image of camera ${camera} of ${agent} with boxes`;
    figure.append(image, element("figcaption", `${agent} · ${camera}`));
    figure.lastChild.style.color = DATA.colors[agent];
    return figure;
  });
  $("images").replaceChildren(...figures);
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

function addToggle(parent, name, swatch, onChange, count) {
  const label = document.createElement("label");
  const input = document.createElement("input");
  input.type = "checkbox";
  input.checked = true;
  input.addEventListener("change", () => {
    onChange(input.checked);
    redraw();
  });
  label.append(input, ...(swatch ? [swatch] : []), element("span", name));
  if (count) {
    const node = element("span", "", "count");
    label.append(node);
    counters.push({ node, count });
  }
  $(parent).append(label);
}

// A square in the colour of what it stands for, or its frame where a kind of line says more.
function swatchOf(color, kind = "") {
  const swatch = element("span", "", `swatch ${kind}`);
  if (kind && kind !== "ground") swatch.style.color = color;
  else swatch.style.background = color;
  return swatch;
}

function addControls() {
  const { palette } = DATA;
  for (const [id, color] of Object.entries(DATA.colors)) {
    addToggle("agents", id, swatchOf(color), (on) => (settings.agents[id] = on), (frame) => {
      const agent = frame.agents.find((candidate) => candidate.id === id);
      return agent ? agent.points.toLocaleString("en") : "absent";
    });
  }
  const kinds = { missed: "missed", false: "false" };
  for (const [outcome, { name, color }] of Object.entries(palette.outcomes)) {
    if (outcome === "added" && !DATA.compared) continue;
    addToggle("outcomes", name, swatchOf(color, kinds[outcome]), (on) => (settings.outcomes[outcome] = on), (frame) =>
      countsOf(frame, settings.view, settings.score)[outcome],
    );
  }
  addToggle("outcomes", "not counted", swatchOf(palette.muted, "uncounted"), (on) => (settings.outcomes.uncounted = on), (f) =>
    countsOf(f, settings.view, settings.score).uncounted,
  );
  if (DATA.labelled) {
    addToggle("sources", "ground truth", swatchOf(palette.ground_truth), (on) => (settings.truth = on), (f) =>
      f.truth.filter((truth) => truth.counted).length,
    );
  }
  for (const [source, { name, color }] of Object.entries(palette.sources)) {
    if (!DATA.frames.some((frame) => frame.detections.some((d) => d.source === source))) continue;
    addToggle("sources", name, swatchOf(color), (on) => (settings.sources[source] = on), (frame) =>
      resultOf(frame, settings.view, settings.score).detections.filter((d) => d.source === source).length,
    );
  }
  addToggle("ground", "show what is seen", null, (on) => (settings.seen = on));
  $("ground").append(
    legendLine("by the ego", swatchOf(palette.seen_by_ego, "ground")),
    legendLine("only by others", swatchOf(palette.seen_by_others, "ground")),
    legendLine("by nobody", element("span", "", "swatch ground hatched")),
  );
  $("score").value = settings.score;
  $("score").addEventListener("input", () => {
    settings.score = Number($("score").value);
    showScore();
    redraw();
  });
  showScore();
  $("views").hidden = !DATA.compared;
  $("modes").hidden = !(DATA.labelled && DATA.detected);
  if (!DATA.detected) settings.mode = "source";
  document.querySelector(".score").hidden = !DATA.detected;
  $("boxes-section").hidden = !(DATA.labelled || DATA.detected);
  for (const name of ["view", "mode"]) {
    document.querySelectorAll(`input[name=${name}]`).forEach((input) =>
      input.addEventListener("change", () => {
        settings[name] = input.value;
        showLegend();
        redraw();
      }),
    );
  }
  showLegend();
}

function showLegend() {
  $("outcomes").hidden = settings.mode !== "outcome";
  $("sources").hidden = settings.mode !== "source";
}

function showScore() {
  $("score-text").textContent = settings.score.toFixed(2);
}

function legendLine(name, swatch) {
  const line = element("label", "");
  line.append(swatch, element("span", name));
  return line;
}

function addCharts() {
  const { palette, frames } = DATA;
  if (DATA.detected) charts.push(new Chart($("charts"), DATA.labelled ? "Objects found" : "Boxes", foundInEachFrame, show));
  const senders = [...new Set(frames.flatMap((frame) => Object.keys(frame.bytes)))];
  const series = senders.map((sender) => ({
    name: shortened(sender),
    color: DATA.colors[sender] || palette.muted,
    values: frames.map((frame) => frame.bytes[sender] || 0),
  }));
  if (senders.length) {
    charts.push(new Chart($("charts"), "Bytes of each sender, requests included", () => ({ series, lines: [] }), show));
  }
}

function foundInEachFrame() {
  const { palette, frames } = DATA;
  if (!DATA.labelled) {
    const results = frames.map((frame) => resultOf(frame, settings.view, settings.score).detections);
    const series = Object.entries(palette.sources).map(([source, { name, color }]) => ({
      name,
      color,
      values: results.map((detections) => detections.filter((d) => d.source === source).length),
    }));
    return { series: series.filter((one) => one.values.some((value) => value > 0)), lines: [] };
  }
  const counts = frames.map((frame) => countsOf(frame, settings.view, settings.score));
  const shown = settings.view === "together" && DATA.compared ? ["found", "added"] : ["found"];
  const series = shown.map((outcome) => ({ ...palette.outcomes[outcome], values: counts.map((one) => one[outcome]) }));
  return { series, lines: [{ name: "there are", color: palette.ground_truth, values: counts.map((one) => one.objects) }] };
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
    document.querySelectorAll("aside, .answer, .transport, .hint").forEach((node) => (node.hidden = true));
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
    redraw();
  };
  new ResizeObserver(refit).observe($("view"));
  scene.resize();
  const wanted = Number(location.hash.slice(1)) - 1;
  show(wanted >= 0 ? wanted : 0);
}

start();
