"use strict";

// Unpacks the embedded data, which pack.py has packed.

const DATA = JSON.parse(document.getElementById("data").textContent);

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

function shortsOf(base64, Type) {
  const bytes = bytesOf(base64);
  const view = new DataView(bytes.buffer);
  const values = new Type(bytes.length / 2);
  const read = Type === Int16Array ? "getInt16" : "getUint16";
  for (let i = 0; i < values.length; i++) values[i] = view[read](2 * i, true);
  return values;
}

// Image of what is seen, one pixel for each cell: by the ego (2), only by others (1), for which a colour is
// given; nobody (0) is transparent.
function seenImage(runs, byOthers) {
  const [columns, rows] = DATA.seen.shape;
  const image = document.createElement("canvas");
  image.width = columns;
  image.height = rows;
  const context = image.getContext("2d");
  const pixels = context.createImageData(columns, rows);
  const values = new Uint32Array(pixels.data.buffer);
  const colors = [0, byOthers, pixelOf(DATA.palette.seen_by_ego)];
  let position = 0;
  for (const run of shortsOf(runs, Uint16Array)) {
    const length = run & 0x3fff;
    values.fill(colors[run >> 14], position, position + length);
    position += length;
  }
  context.putImageData(pixels, 0, 0);
  return image;
}

function pixelOf(color) {
  const bytes = new Uint8Array([1, 3, 5].map((i) => parseInt(color.slice(i, i + 2), 16)).concat(255));
  return new Uint32Array(bytes.buffer)[0];
}

function decodeFrame(frame) {
  return {
    ...frame,
    clouds: frame.agents.map((agent) => ({
      xy: shortsOf(agent.xy, Int16Array),
      height: bytesOf(agent.height),
    })),
    seen: { together: seenImage(frame.seen, pixelOf(DATA.palette.seen_by_others)), alone: seenImage(frame.seen, 0) },
  };
}

// Only the frames that were shown last are kept unpacked.
const decoded = new Map();

function frameAt(index) {
  if (!decoded.has(index)) {
    if (decoded.size >= 8) decoded.delete(decoded.keys().next().value);
    decoded.set(index, decodeFrame(DATA.frames[index]));
  }
  return decoded.get(index);
}
