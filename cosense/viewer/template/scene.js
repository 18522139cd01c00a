"use strict";

// Draws one frame on the canvas, in metres of the ego frame, with x to the right and y up.

const OBSTACLE_HEIGHT = 3; // steps of 10 cm, as in pack.py
const FIELD_RADIUS_M = 9;

class Scene {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.hatch = this.hatchPattern();
    this.resetView();
  }

  // The place in the middle, and the width of the canvas in metres.
  resetView() {
    const [xMin, yMin, xMax, yMax] = DATA.view;
    this.center = [(xMin + xMax) / 2, (yMin + yMax) / 2];
    this.zoom = 1;
  }

  resize() {
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(this.canvas.clientWidth * ratio);
    this.canvas.height = Math.round(this.canvas.clientHeight * ratio);
  }

  get scale() {
    const [xMin, yMin, xMax, yMax] = DATA.view;
    return this.zoom * Math.min(this.canvas.width / (xMax - xMin), this.canvas.height / (yMax - yMin));
  }

  toPixel(x, y) {
    const scale = this.scale;
    return [
      this.canvas.width / 2 + (x - this.center[0]) * scale,
      this.canvas.height / 2 - (y - this.center[1]) * scale,
    ];
  }

  toMetres(column, row) {
    const scale = this.scale;
    return [
      this.center[0] + (column - this.canvas.width / 2) / scale,
      this.center[1] - (row - this.canvas.height / 2) / scale,
    ];
  }

  hatchPattern() {
    const ratio = window.devicePixelRatio || 1;
    const tile = document.createElement("canvas");
    tile.width = tile.height = Math.round(12 * ratio);
    const context = tile.getContext("2d");
    context.scale(tile.width / 12, tile.width / 12);
    context.fillStyle = DATA.palette.seen_by_nobody;
    context.fillRect(0, 0, 12, 12);
    context.strokeStyle = DATA.palette.hatch;
    context.lineWidth = 3;
    for (const offset of [-12, 0, 12]) {
      context.beginPath();
      context.moveTo(offset - 2, -2);
      context.lineTo(offset + 14, 14);
      context.stroke();
    }
    return this.context.createPattern(tile, "repeat");
  }

  draw(frame, settings) {
    this.pixel = Math.max(1, window.devicePixelRatio || 1);
    const context = this.context;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = DATA.palette.seen_by_nobody;
    context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    if (settings.seen) this.drawSeen(frame.seen[settings.view]);
    this.drawGrid();
    for (let i = frame.agents.length - 1; i >= 0; i--) {
      const agent = frame.agents[i];
      if (takesPart(agent, settings) && settings.agents[agent.id]) this.drawCloud(frame.clouds[i], DATA.colors[agent.id]);
    }
    for (const item of itemsOf(frame, settings)) this.drawBox(item);
    for (const agent of frame.agents) if (takesPart(agent, settings)) this.drawAgent(agent);
    this.drawScaleBar();
  }

  drawSeen(image) {
    const [xMin, yMin, xMax, yMax] = DATA.seen.extent;
    const [left, bottom] = this.toPixel(xMin, yMin);
    const [right, top] = this.toPixel(xMax, yMax);
    this.context.fillStyle = this.hatch;
    this.context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    this.context.save();
    this.context.translate(left, bottom);
    this.context.scale((right - left) / DATA.seen.shape[0], (top - bottom) / DATA.seen.shape[1]);
    this.context.drawImage(image, 0, 0);
    this.context.restore();
  }

  drawGrid() {
    const context = this.context;
    const step = [5, 10, 20, 50].find((metres) => metres * this.scale > 60 * this.pixel) || 100;
    const [xMin, yMax] = this.toMetres(0, 0);
    const [xMax, yMin] = this.toMetres(this.canvas.width, this.canvas.height);
    context.strokeStyle = "rgba(255, 255, 255, 0.06)";
    context.fillStyle = DATA.palette.muted;
    context.font = this.font(11);
    context.lineWidth = 1;
    context.textAlign = "left";
    context.beginPath();
    for (let x = Math.ceil(xMin / step) * step; x <= xMax; x += step) {
      const [column] = this.toPixel(x, 0);
      context.moveTo(column, 0);
      context.lineTo(column, this.canvas.height);
      context.fillText(`${x} m`, column + 4 * this.pixel, 14 * this.pixel);
    }
    for (let y = Math.ceil(yMin / step) * step; y <= yMax; y += step) {
      const [, row] = this.toPixel(0, y);
      context.moveTo(0, row);
      context.lineTo(this.canvas.width, row);
      if (row > 30 * this.pixel) context.fillText(`${y} m`, 4 * this.pixel, row - 4 * this.pixel);
    }
    context.stroke();
  }

  drawCloud(cloud, color) {
    const context = this.context;
    const scale = this.scale;
    const size = Math.max(this.pixel, Math.min(2.2 * this.pixel, 0.12 * scale));
    const left = this.canvas.width / 2 - this.center[0] * scale;
    const middle = this.canvas.height / 2 + this.center[1] * scale;
    context.fillStyle = color;
    for (const obstacles of [false, true]) {
      context.globalAlpha = obstacles ? 0.85 : 0.3;
      for (let i = 0; i < cloud.height.length; i++) {
        if ((cloud.height[i] > OBSTACLE_HEIGHT) !== obstacles) continue;
        const column = left + cloud.xy[2 * i] * 0.01 * scale;
        const row = middle - cloud.xy[2 * i + 1] * 0.01 * scale;
        context.fillRect(column, row, size, size);
      }
    }
    context.globalAlpha = 1;
  }

  drawBox(item) {
    const context = this.context;
    const [x, y, length, width, yaw] = item.box;
    const scale = this.scale;
    context.save();
    context.translate(...this.toPixel(x, y));
    context.rotate(-yaw);
    context.globalAlpha = item.alpha;
    context.strokeStyle = context.fillStyle = item.color;
    // From far away, thin lines: a box is a few pixels.
    context.lineWidth = item.width * this.pixel * Math.min(1, Math.max(0.5, scale / this.pixel / 5));
    context.setLineDash((item.dash || []).map((length) => length * this.pixel));
    context.beginPath();
    context.rect((-length / 2) * scale, (-width / 2) * scale, length * scale, width * scale);
    if (item.crossedOut) {
      for (const side of [-0.5, 0.5]) {
        context.moveTo((-length / 2) * scale, -side * width * scale);
        context.lineTo((length / 2) * scale, side * width * scale);
      }
    } else {
      context.moveTo(0, 0);
      context.lineTo((length / 2 + Math.min(0.8, 0.4 * length)) * scale, 0);
    }
    context.stroke();
    context.globalAlpha = item.alpha * 0.18;
    context.fillRect((-length / 2) * scale, (-width / 2) * scale, length * scale, width * scale);
    context.restore();
  }

  drawAgent(agent) {
    const context = this.context;
    const [x, y, yaw] = agent.pose;
    const [first, width] = agent.field;
    const color = DATA.colors[agent.id];
    const size = 7 * this.pixel;
    context.save();
    context.translate(...this.toPixel(x, y));
    context.rotate(-yaw);
    context.fillStyle = color;
    if (width > 0 && width < 6.28) {
      context.globalAlpha = 0.35;
      context.beginPath();
      context.moveTo(0, 0);
      context.arc(0, 0, FIELD_RADIUS_M * this.scale, -first, -(first + width), true);
      context.fill();
      context.globalAlpha = 1;
    }
    context.strokeStyle = DATA.palette.background;
    context.lineWidth = 1.5 * this.pixel;
    context.beginPath();
    const corners = agent.kind === "vehicle" ? [[1.2, 0], [-0.9, 0.9], [-0.9, -0.9]] : [[1, 0], [0, 1], [-1, 0], [0, -1]];
    corners.forEach(([along, across]) => context.lineTo(along * size, across * size));
    context.closePath();
    context.fill();
    context.stroke();
    context.restore();
    const [column, row] = this.toPixel(x, y);
    const name = shortened(agent.id);
    this.drawText(agent.ego ? `${name} (ego)` : name, column, row - 1.7 * size, color, 13);
  }

  drawScaleBar() {
    const metres = [1, 2, 5, 10, 20, 50].find((length) => length * this.scale > 70 * this.pixel) || 100;
    const right = this.canvas.width - 16 * this.pixel;
    const bottom = this.canvas.height - 14 * this.pixel;
    this.context.fillStyle = DATA.palette.text;
    this.context.fillRect(right - metres * this.scale, bottom, metres * this.scale, 3 * this.pixel);
    this.drawText(`${metres} m`, right - (metres * this.scale) / 2, bottom - 6 * this.pixel, DATA.palette.text, 12);
  }

  drawText(text, column, row, color, size) {
    const context = this.context;
    context.font = this.font(size, "600");
    context.textAlign = "center";
    context.lineWidth = 3.5 * this.pixel;
    context.lineJoin = "round";
    context.strokeStyle = DATA.palette.background;
    context.strokeText(text, column, row);
    context.fillStyle = color;
    context.fillText(text, column, row);
  }

  font(size, weight = "400") {
    return `${weight} ${size * this.pixel}px system-ui, "DejaVu Sans", sans-serif`;
  }
}

// Instead of the object that a detection found; -2 counts neither way, nor does a participant without a label.
const FALSE_ALARM = -1;
const PARTICIPANT = -3;
const DASHED = [5, 3];
const DOTTED = [1.5, 2.5];
const NAME_LENGTH = 28;

function shortened(name) {
  const half = NAME_LENGTH / 2;
  return name.length > NAME_LENGTH ? `${name.slice(0, half)}…${name.slice(1 - half)}` : name;
}

// The ego alone has no others.
function takesPart(agent, settings) {
  return agent.ego || settings.view === "together";
}

// What the ego finds, alone or together, with the objects that are found by it.
function resultOf(frame, view, score) {
  const all = view === "alone" && frame.alone ? frame.alone : frame.detections;
  const detections = all.filter((d) => d.score >= score);
  return { detections, found: new Set(detections.map((d) => d.truth).filter((truth) => truth >= 0)) };
}

// How many objects are found by the ego itself too, found only together, missed, how many boxes are false alarms, and
// how many boxes and objects do not count.
function countsOf(frame, view, score) {
  const { detections, found } = resultOf(frame, view, score);
  const alone = frame.alone ? resultOf(frame, "alone", score).found : found;
  const added = [...found].filter((truth) => !alone.has(truth)).length;
  const objects = frame.truth.filter((truth) => truth.counted).length;
  return {
    found: found.size - added,
    added,
    missed: objects - found.size,
    false: detections.filter((d) => d.truth === FALSE_ALARM).length,
    uncounted: detections.filter((d) => d.truth < FALSE_ALARM).length + frame.truth.length - objects,
    objects,
  };
}

// The boxes in the order of drawing: ground truth below detections.
function itemsOf(frame, settings) {
  const items = settings.mode === "outcome" ? itemsByOutcome(frame, settings) : itemsBySource(frame, settings);
  return items.reverse();
}

function itemsByOutcome(frame, settings) {
  const { palette } = DATA;
  const { detections, found } = resultOf(frame, settings.view, settings.score);
  const alone = frame.alone ? resultOf(frame, "alone", settings.score).found : found;
  const items = [];
  for (const detection of detections) {
    const outcome =
      detection.truth >= 0 ? (alone.has(detection.truth) ? "found" : "added") : detection.truth === FALSE_ALARM ? "false" : "";
    if (!settings.outcomes[outcome || "uncounted"]) continue;
    items.push({
      box: detection.box,
      color: outcome ? palette.outcomes[outcome].color : detection.truth === PARTICIPANT ? palette.text : palette.muted,
      dash: outcome ? [] : DOTTED,
      crossedOut: outcome === "false",
      width: outcome === "added" ? 2.5 : outcome ? 2 : 1.2,
      alpha: 1,
      text: [...titleOf(frame, detection), outcome ? palette.outcomes[outcome].name : uncountedText(detection)],
    });
  }
  frame.truth.forEach((truth, index) => {
    const outcome = !truth.counted ? "uncounted" : !found.has(index) ? "missed" : alone.has(index) ? "found" : "added";
    if (!settings.outcomes[outcome]) return;
    const missed = outcome === "missed";
    const lost = missed && settings.view === "together" && alone.has(index);
    items.push({
      box: truth.box,
      color: missed ? palette.outcomes.missed.color : truth.counted ? palette.ground_truth : palette.muted,
      dash: missed ? DASHED : truth.counted ? [] : DOTTED,
      width: missed ? 2 : 1,
      alpha: missed || !truth.counted ? 1 : 0.5,
      text: [...truthText(truth), missed ? (lost ? "found alone, missed together" : "missed") : truth.counted ? "found" : ""],
    });
  });
  return items;
}

function itemsBySource(frame, settings) {
  const { palette } = DATA;
  const items = [];
  for (const detection of resultOf(frame, settings.view, settings.score).detections) {
    if (!settings.sources[detection.source]) continue;
    items.push({
      box: detection.box,
      color: palette.sources[detection.source].color,
      width: 2,
      alpha: 0.3 + 0.7 * detection.score,
      text: titleOf(frame, detection),
    });
  }
  for (const truth of settings.truth ? frame.truth : []) {
    items.push({
      box: truth.box,
      color: truth.counted ? palette.ground_truth : palette.muted,
      dash: truth.counted ? [] : DOTTED,
      width: 1.2,
      alpha: 1,
      text: truthText(truth),
    });
  }
  return items;
}

function titleOf(frame, detection) {
  return [
    `${detection.label} ${detection.score.toFixed(2)}`,
    DATA.palette.sources[detection.source].name,
    ...senderLines(frame, detection),
  ];
}

function uncountedText(detection) {
  return detection.truth === PARTICIPANT ? "a vehicle that takes part and has no label: not counted" : "not counted";
}

function truthText(truth) {
  return [truth.label, `ground truth ${truth.id}`, truth.counted ? "" : "not counted by the protocol"];
}

function senderLines(frame, detection) {
  if (detection.source === DATA.palette.own_source) return [];
  return frame.peers.filter((peer) => peer.used_for !== "nothing").map((peer) => `${peer.sender}: ${peer.bytes} bytes`);
}

function isInside(box, x, y) {
  const [cx, cy, length, width, yaw] = box;
  const along = (x - cx) * Math.cos(yaw) + (y - cy) * Math.sin(yaw);
  const across = (y - cy) * Math.cos(yaw) - (x - cx) * Math.sin(yaw);
  return Math.abs(along) <= length / 2 + 0.3 && Math.abs(across) <= width / 2 + 0.3;
}
