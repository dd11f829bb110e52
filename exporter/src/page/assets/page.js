
// Follows the exporter's events, keeps ten minutes of each engine, and never shows an old number as a new one: how old
// the numbers are is counted by this browser's own clock, whatever has become of the engine, the exporter or the network.
const SILENT_AFTER_MS = 3500;
const engines = new Map(); // name -> { history, numbers, numbersAt, unixMs }
let tick = null; // the newest event
let tickAt = null; // when it came, by this browser's clock
let isConnected = false;
let cursorAt = null;
let timeOfPixel = () => 0;

function connect() {
  const events = new EventSource("live/events");
  events.onopen = () => { isConnected = true; };
  events.onmessage = (event) => {
    isConnected = true;
    receive(JSON.parse(event.data));
  };
  events.onerror = () => {
    isConnected = false;
    // A refusal (too many pages are open) ends an event source for good: ask again by ourselves.
    if (events.readyState === EventSource.CLOSED) setTimeout(connect, 3000);
    showAge();
  };
}

function receive(document_) {
  tick = document_;
  tickAt = performance.now();
  for (const engine of tick.engines) remember(engine);
  render();
}

function remember(engine) {
  const kept = engines.get(engine.engine) ?? { history: [], numbers: null, numbersAt: null, unixMs: 0 };
  engines.set(engine.engine, kept);
  const { history } = kept;
  const last = history.at(-1);
  // A break in the lines where nothing was heard for a while.
  if (last && tickAt - last.at > SILENT_AFTER_MS) history.push(point(last.at + 1, null));
  history.push(point(tickAt, engine.numbers));
  while (history.length && tickAt - history[0].at > KEPT_MS) history.shift();
  if (engine.numbers) Object.assign(kept, { numbers: engine.numbers, numbersAt: tickAt, unixMs: tick.unix_ms });
}

function point(at, numbers) {
  const rate = (name) => numbers?.[name].per_second ?? null;
  return {
    at,
    messages: rate("messages"),
    updates: rate("updates"),
    predictions: rate("predictions"),
    signals: rate("signals"),
    latencies: Object.fromEntries((numbers?.latencies ?? []).map((row) => [row.name, row.interval])),
    confidence: Object.fromEntries((numbers?.models ?? []).map((model) => [model.model, model.confidence])),
  };
}

const chosen = () => tick?.engines.find((engine) => engine.engine === $("engine").value) ?? tick?.engines[0] ?? null;

function render() {
  options($("engine"), tick.engines.map((engine) => engine.engine), "");
  $("picker").hidden = tick.engines.length < 2;
  const engine = chosen();
  showAge();
  if (document.hidden) return;
  $("live").hidden = !engine || !engines.get(engine.engine).numbers;
  if (!engine) return;
  const process = engine.process;
  put($("build"), process ? `${engine.engine} ${process.version}, process ${process.pid}` : engine.engine);
  const kept = engines.get(engine.engine);
  if (!kept.numbers) return;
  showHealth(engine);
  const numbers = kept.numbers;
  for (const name of ["messages", "updates", "predictions", "signals"]) {
    put($(`rate-${name}`), perSecond(numbers[name].per_second));
    sparkline($(`spark-${name}`), kept.history, tickAt, (point) => point[name]);
  }
  showLatencies(numbers);
  showChart();
  showFeeds(numbers, kept.unixMs + performance.now() - kept.numbersAt);
  showBooks(numbers);
  showThreads(numbers);
  showModels(numbers, kept.history);
  showLosses(numbers);
}

function showChart() {
  const kept = engines.get(chosen()?.engine);
  if (!kept) return;
  const row = $("chart-row").value;
  timeOfPixel = percentileChart($("chart"), kept.history, tickAt, (point) => point.latencies[row], cursorAt);
  const near = cursorAt === null ? null : nearest(kept.history, cursorAt);
  const values = near?.latencies[row];
  const text = values
    ? `${age(tickAt - near.at)} ago: p50 ${duration(values.p50_ns)}, p99 ${duration(values.p99_ns)}, p99.9 ${duration(values.p999_ns)}`
    : "";
  put($("readout"), text);
}

function nearest(history, at) {
  return history.reduce((best, point) => (Math.abs(point.at - at) < Math.abs(best.at - at) ? point : best), history[0]);
}

// State, age and banner; also between events, which may have stopped coming.
function showAge() {
  const now = performance.now();
  const engine = chosen();
  const silentMs = tickAt === null ? now : now - tickAt;
  const isSilent = silentMs > SILENT_AFTER_MS;
  const isDown = !isSilent && tick !== null && !(engine?.is_up ?? false);
  const state = isSilent ? "no data" : engine ? engine.state : tick ? "absent" : "";
  const kind = isSilent || isDown ? "bad" : engine && engine.state !== "live" ? "warn" : "good";
  $("state").hidden = state === "";
  chip($("state"), state, kind);
  document.title = `QuantumFlow ${engine?.engine ?? ""}: ${state || "connecting"}`;
  put($("age"), tickAt === null ? "connecting" : `updated ${age(silentMs)} ago`);
  const numbersAt = engines.get(engine?.engine)?.numbersAt ?? null;
  document.body.classList.toggle("is-old", isSilent || isDown);
  document.body.classList.toggle("is-silent", isSilent);
  $("banner").hidden = !(isSilent || isDown);
  let text = "";
  if (isSilent) {
    text = isConnected ? "No data: the exporter is connected and sends nothing." : "No data: the exporter cannot be reached.";
  } else if (isDown) {
    const reason = engine ? engine.reason : tick.reason;
    text = `Engine ${engine?.engine ?? ""} ${state}${reason ? `: ${reason}` : ""}.`.replace("  ", " ");
  }
  put($("banner-text"), text);
  const old = isSilent || isDown ? (numbersAt === null ? "" : `The numbers below are ${age(now - numbersAt)} old.`) : "";
  put($("banner-age"), old);
}

const frame = $("chart-frame");
frame.addEventListener("pointermove", (event) => {
  cursorAt = timeOfPixel(event.clientX - $("chart").getBoundingClientRect().left);
  showChart();
});
frame.addEventListener("pointerleave", () => { cursorAt = null; showChart(); });
frame.addEventListener("blur", () => { cursorAt = null; showChart(); });
frame.addEventListener("keydown", (event) => {
  const step = { ArrowLeft: -1000, ArrowRight: 1000 }[event.key];
  if (!step || tickAt === null) return;
  event.preventDefault();
  cursorAt = Math.min(tickAt, Math.max(tickAt - KEPT_MS, (cursorAt ?? tickAt) + step));
  showChart();
});
$("chart-row").addEventListener("change", showChart);
$("engine").addEventListener("change", () => tick && render());
document.addEventListener("visibilitychange", () => tick && render());
window.addEventListener("resize", () => tick && render());
setInterval(showAge, 250);
connect();
