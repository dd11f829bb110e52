
// Charts as SVG. A line breaks where nothing is known; it is never drawn across a gap.
const KEPT_MS = 10 * 60 * 1000;
const SPANS_MS = [1, 2, 5, 10].map((minutes) => minutes * 60_000);

// The time that is drawn: what there is of history, up to a round number of minutes.
function span(history, now) {
  const held = history.length ? now - history[0].at : 0;
  return SPANS_MS.find((ms) => held <= ms) ?? KEPT_MS;
}

function shape(name, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

// The path through points of [x, y]; y is null where nothing is known.
function path(points) {
  let text = "";
  let pen = "M";
  for (const [x, y] of points) {
    if (y === null) {
      pen = "M";
      continue;
    }
    text += `${pen}${x.toFixed(1)} ${y.toFixed(1)}`;
    pen = "L";
  }
  return text;
}

// The last minutes of one number, from zero up.
function sparkline(svg, history, now, valueOf) {
  const [width, height] = [Math.max(svg.clientWidth, 40), Math.max(svg.clientHeight, 16)];
  const most = Math.max(1e-9, ...history.map((point) => valueOf(point) ?? 0));
  const drawn = span(history, now);
  const x = (point) => width - ((now - point.at) / drawn) * width;
  const y = (value) => (value === null ? null : height - 1.5 - (value / most) * (height - 3));
  const line = history.map((point) => [x(point), y(valueOf(point))]);
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.replaceChildren(shape("path", { class: "spark", d: path(line) }));
}

const LINES = [["p50", "p50_ns"], ["p99", "p99_ns"], ["p999", "p999_ns"]];

// Percentiles over the last minutes, on a logarithmic scale that spans whole decades.
function percentileChart(svg, history, now, valuesOf, cursorAt) {
  const [width, height] = [Math.max(svg.clientWidth, 200), Math.max(svg.clientHeight, 100)];
  const frame = { left: 58, right: width - 6, top: 8, bottom: height - 20 };
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const parts = [];
  const known = history.flatMap((point) => LINES.map(([, key]) => valuesOf(point)?.[key] ?? null)).filter((v) => v > 0);
  const low = Math.floor(Math.log10(Math.min(1e9, ...known)));
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(1, ...known))));
  const [from, to] = known.length ? [low, high] : [3, 6];
  const drawn = span(history, now);
  const x = (at) => frame.right - ((now - at) / drawn) * (frame.right - frame.left);
  const y = (ns) => frame.bottom - ((Math.log10(Math.max(ns, 10 ** from)) - from) / (to - from)) * (frame.bottom - frame.top);
  for (let decade = from; decade <= to; decade++) {
    const at = Math.round(y(10 ** decade)) + 0.5;
    parts.push(shape("line", { class: "grid", x1: frame.left, x2: frame.right, y1: at, y2: at }));
    parts.push(shape("text", { x: frame.left - 6, y: at + 4, "text-anchor": "end" }, decadeName(decade)));
  }
  const steps = width < 500 ? 2 : 5;
  for (let step = 0; step <= steps; step++) {
    const ms = (drawn * step) / steps;
    const anchor = step === 0 ? "end" : step === steps ? "start" : "middle";
    const text = step === 0 ? "now" : ms < 60_000 || ms % 60_000 ? `−${ms / 1000} s` : `−${ms / 60_000} min`;
    parts.push(shape("text", { x: x(now - ms), y: height - 3, "text-anchor": anchor }, text));
  }
  for (const [name, key] of LINES) {
    const points = history.map((point) => {
      const ns = valuesOf(point)?.[key] ?? null;
      return [x(point.at), ns === null ? null : y(ns)];
    });
    parts.push(shape("path", { class: `line ${name}`, d: path(points) }));
  }
  if (cursorAt !== null) {
    const at = Math.round(x(cursorAt)) + 0.5;
    parts.push(shape("line", { class: "cursor", x1: at, x2: at, y1: frame.top, y2: frame.bottom }));
  }
  svg.replaceChildren(...parts);
  return (pixels) => now - ((frame.right - pixels) / (frame.right - frame.left)) * drawn;
}

function decadeName(decade) {
  const value = 10 ** (((decade % 3) + 3) % 3);
  return `${value} ${["ns", "µs", "ms", "s", "ks"][Math.floor(decade / 3)] ?? ""}`;
}

// A histogram of confidence, from 0 to 1.
function bars(svg, bins) {
  const [width, height] = [200, 70];
  const most = Math.max(1, ...bins);
  const step = width / bins.length;
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("preserveAspectRatio", "none");
  const columns = bins.map((value, index) => {
    const tall = (value / most) * (height - 2);
    return shape("rect", { x: index * step + 0.5, width: step - 1, y: height - 1 - tall, height: tall });
  });
  svg.replaceChildren(...columns, shape("line", { class: "base", x1: 0, x2: width, y1: height - 0.5, y2: height - 0.5 }));
}
