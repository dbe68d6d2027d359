"use strict";
// Pictures of one cell, as SVG with a sentence for those who do not see them.

const SVG = "http://www.w3.org/2000/svg";

function shape(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function picture(width, height, label) {
  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label });
  svg.append(shape("title", {}, label));
  return svg;
}

const ms = (us) => (us >= 1e5 ? (us / 1e3).toFixed(0) : us >= 1e4 ? (us / 1e3).toFixed(1) : (us / 1e3).toFixed(2)) + " ms";
const bucketUs = (bucket) => 2 ** (bucket / 18);

// Counts in buckets of 2^(1/18) us, on a logarithmic axis; a line at the deadline.
function histogram(buckets, deadlineUs) {
  const first = Math.min(buckets[0][0], Math.floor(18 * Math.log2(deadlineUs))) - 2, last = Math.max(buckets[buckets.length - 1][0] + 3, 18 * Math.log2(deadlineUs) + 3);
  const most = Math.max(...buckets.map((b) => Math.log10(b[1] + 1)));
  const x = (bucket) => 10 + 580 * (bucket - first) / (last - first);
  const total = buckets.reduce((sum, b) => sum + b[1], 0);
  const late = buckets.filter((b) => bucketUs(b[0]) >= deadlineUs).reduce((sum, b) => sum + b[1], 0);
  const svg = picture(600, 170, `${total} frames from ${ms(bucketUs(buckets[0][0]))} to `
    + `${ms(bucketUs(buckets[buckets.length - 1][0] + 1))}; ${late} after the deadline of ${ms(deadlineUs)}`);
  for (const [bucket, count] of buckets) {
    const high = 120 * Math.log10(count + 1) / most;
    const bar = shape("rect", { class: "bar", x: x(bucket), y: 135 - high, height: high, width: Math.max(1, x(bucket + 1) - x(bucket) - 0.5) });
    bar.append(shape("title", {}, `${ms(bucketUs(bucket))}: ${count}`));
    svg.append(bar);
  }
  const at = x(18 * Math.log2(deadlineUs));
  svg.append(shape("line", { class: "mark", x1: at, x2: at, y1: 8, y2: 138 }));
  svg.append(shape("text", { x: Math.min(at + 4, 500), y: 16 }, `deadline ${ms(deadlineUs)}`));
  for (let octave = Math.ceil(first / 18); octave <= last / 18; octave++) {
    svg.append(shape("text", { x: x(18 * octave), y: 152, "text-anchor": "middle" }, ms(2 ** octave)));
  }
  svg.append(shape("text", { x: 10, y: 166 }, "logarithmic counts"));
  return svg;
}

const STRIP = { ".": "right", "M": "missing", "D": "repeated", "R": "out of order", "J": "ahead of its turn",
  "?": "unreadable", "X": "never sent", " ": "before the first" };

// Runs of [letter, length]: what came out, frame by frame.
function strip(runs) {
  const frames = runs.reduce((sum, run) => sum + run[1], 0);
  const counts = {};
  for (const [letter, length] of runs) counts[letter] = (counts[letter] || 0) + length;
  const told = Object.entries(counts).map(([letter, count]) => `${count} ${STRIP[letter] || letter}`).join(", ");
  const svg = picture(600, 34, `${frames} outputs: ${told}`);
  let at = 0;
  for (const [letter, length] of runs) {
    if (letter !== ".") {
      const wide = Math.max(1.5, 600 * length / frames);
      const bar = shape("rect", { x: 600 * at / frames, y: 0, width: wide, height: 18, fill: letter === " " ? "var(--line)" : "var(--bad)" });
      bar.append(shape("title", {}, `${STRIP[letter] || letter}: ${at} to ${at + length - 1}`));
      svg.append(bar);
    }
    at += length;
  }
  svg.append(shape("text", { x: 4, y: 30 }, `${frames} outputs: ${told}`));
  return svg;
}

// p99 of every run of the slot over time, one letter per version.
function trend(points, statuses, current) {
  const timed = points.filter((p) => p.p99);
  if (!timed.length) return null;
  const low = Math.min(...timed.map((p) => p.p99)) * 0.95, high = Math.max(...timed.map((p) => p.p99)) * 1.05;
  const x = (i) => 40 + 540 * (timed.length > 1 ? i / (timed.length - 1) : 0.5);
  const y = (us) => 110 - 100 * (us - low) / (high - low || 1);
  const svg = picture(600, 140, `p99 of ${timed.length} runs, the first ${ms(timed[0].p99)}, the last ${ms(timed[timed.length - 1].p99)}`);
  svg.append(shape("path", { d: timed.map((p, i) => `${i ? "L" : "M"}${x(i)} ${y(p.p99)}`).join(" "), fill: "none", stroke: "var(--line)" }));
  timed.forEach((p, i) => {
    const dot = shape("circle", { class: `dot-${statuses[p.status]}`, cx: x(i), cy: y(p.p99), r: p.cell === current ? 4 : 2.5 });
    dot.append(shape("title", {}, `${new Date(p.began).toISOString().slice(0, 16)} ${ms(p.p99)} ${statuses[p.status]} (${p.version})`));
    svg.append(dot);
    if (i === 0 || p.version !== timed[i - 1].version) {
      svg.append(shape("line", { x1: x(i), x2: x(i), y1: 8, y2: 114, stroke: "var(--line)" }));
      svg.append(shape("text", { x: Math.min(x(i) + 2, 470), y: 126 }, p.version));
    }
  });
  svg.append(shape("text", { x: 2, y: 14 }, ms(high)), shape("text", { x: 2, y: 112 }, ms(low)));
  return svg;
}
