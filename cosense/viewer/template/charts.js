"use strict";

// Small stacked bar charts over the frames; a click goes to the frame.

class Chart {
  // content(): {series, lines} as it is now, each [{name, color, values}]; lines are drawn over the bars.
  constructor(parent, title, content, onSelect) {
    this.content = content;
    this.count = DATA.frames.length;
    const figure = document.createElement("figure");
    const caption = document.createElement("figcaption");
    this.legend = element("span", "");
    caption.append(element("b", title), this.legend);
    this.canvas = document.createElement("canvas");
    this.canvas.setAttribute("aria-label", title);
    figure.append(caption, this.canvas);
    parent.append(figure);
    this.canvas.addEventListener("pointerdown", (event) => {
      const position = (event.offsetX - this.left) / (this.canvas.clientWidth - this.left);
      onSelect(Math.min(this.count - 1, Math.max(0, Math.floor(position * this.count))));
    });
  }

  get left() {
    return 44;
  }

  showLegend(entries) {
    this.legend.replaceChildren(
      ...entries.map(({ name, color }) => {
        const entry = element("span", name);
        const swatch = element("i", "");
        swatch.style.background = color;
        entry.prepend(swatch);
        return entry;
      }),
    );
  }

  draw(selected) {
    const { series, lines } = this.content();
    this.showLegend([...series, ...lines]);
    const ratio = window.devicePixelRatio || 1;
    const width = this.canvas.clientWidth;
    const height = this.canvas.clientHeight;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    const context = this.canvas.getContext("2d");
    context.scale(ratio, ratio);
    const totals = Array.from({ length: this.count }, (_, i) => series.reduce((sum, s) => sum + s.values[i], 0));
    const top = niceCeiling(Math.max(...totals, ...lines.flatMap((line) => line.values), 0));
    const toRow = (value) => height - 4 - (value / top) * (height - 14);
    const step = (width - this.left) / this.count;

    context.font = '11px system-ui, "DejaVu Sans", sans-serif';
    context.textAlign = "right";
    for (const value of [0, top / 2, top]) {
      context.fillStyle = DATA.palette.muted;
      context.fillText(shortNumber(value), this.left - 7, toRow(value) + 3.5);
      context.fillStyle = "rgba(255, 255, 255, 0.07)";
      context.fillRect(this.left, toRow(value), width - this.left, 1);
    }
    const gap = step > 4 ? 1 : 0;
    for (let i = 0; i < this.count; i++) {
      let sum = 0;
      for (const { color, values } of series) {
        context.fillStyle = color;
        const row = toRow(sum + values[i]);
        context.fillRect(this.left + i * step + gap / 2, row, step - gap, toRow(sum) - row);
        sum += values[i];
      }
    }
    context.fillStyle = "rgba(255, 255, 255, 0.28)";
    context.fillRect(this.left + selected * step, 6, Math.max(step, 2), height - 10);
    for (const { color, values } of lines) {
      context.strokeStyle = color;
      context.lineWidth = 1.5;
      context.beginPath();
      values.forEach((value, i) => {
        context.lineTo(this.left + i * step, toRow(value));
        context.lineTo(this.left + (i + 1) * step, toRow(value));
      });
      context.stroke();
    }
  }
}

function niceCeiling(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 2.5, 3, 4, 5, 7.5, 10].find((factor) => factor * power >= value) * power;
}

function shortNumber(value) {
  return value >= 1000 ? `${value / 1000}k` : `${value}`;
}

function element(tag, text, className = "") {
  const node = document.createElement(tag);
  node.textContent = text;
  node.className = className;
  return node;
}
