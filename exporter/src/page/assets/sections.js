
// Sections of the page from one engine's numbers. Every text goes in as textContent: names are another program's.
const $ = (id) => document.getElementById(id);

function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function chip(element, text, kind) {
  put(element, text);
  element.className = kind ? `chip ${kind}` : "chip";
}

// Rows of a table by key: rows that stay are changed in place, so that a reader's cursor and a scroll position survive.
// A cell is a text, or [text, kind] for a chip.
function fill(table, rows, classOf) {
  const body = table.tBodies[0];
  const old = new Map([...body.rows].map((row) => [row.dataset.key, row]));
  rows.forEach(([key, cells], index) => {
    let row = old.get(key);
    old.delete(key);
    if (!row) {
      row = document.createElement("tr");
      row.dataset.key = key;
      const head = document.createElement("th");
      head.scope = "row";
      row.append(head, ...cells.slice(1).map(() => document.createElement("td")));
    }
    if (body.rows[index] !== row) body.insertBefore(row, body.rows[index] ?? null);
    cells.forEach((cell, place) => setCell(row.cells[place], cell));
    if (classOf) classOf(row, key);
  });
  for (const row of old.values()) row.remove();
}

function setCell(element, cell) {
  if (!Array.isArray(cell)) return put(element, cell);
  if (!element.firstElementChild) {
    element.replaceChildren(document.createElement("span"));
    element.classList.add("text");
  }
  chip(element.firstElementChild, cell[0], cell[1]);
}

const KIND_OF_STATUS = { healthy: "good", degraded: "warn", unhealthy: "bad" };
const KIND_OF_QUALITY = { verified: "good", unverified: "", stale: "warn", crossed: "bad", resyncing: "warn" };

function showHealth(engine) {
  const status = $("health-status");
  chip(status, engine.status, KIND_OF_STATUS[engine.status]);
  const wrong = engine.components.filter((component) => component.status !== "healthy");
  const sound = engine.components.length - wrong.length;
  put($("health-none"), wrong.length ? "" : `All ${sound} components work as they should.`);
  $("health-none").hidden = wrong.length > 0;
  const list = $("health-list");
  const key = JSON.stringify(wrong.map(({ kind, name, status, reason }) => [kind, name, status, reason]));
  if (list.dataset.key === key) return;
  list.dataset.key = key;
  list.replaceChildren(...wrong.map((component) => {
    const item = document.createElement("li");
    const [mark, name, reason, next] = ["span", "strong", "span", "span"].map((tag) => document.createElement(tag));
    chip(mark, component.status, KIND_OF_STATUS[component.status]);
    put(name, component.name ? `${component.kind} ${component.name}` : component.kind);
    put(reason, component.reason);
    reason.className = "reason";
    put(next, `Look at: ${component.look_at}`);
    next.className = "next-step";
    item.append(mark, name, reason, next);
    return item;
  }));
}

function showLatencies(numbers) {
  const cells = (p) => p
    ? [duration(p.p50_ns), duration(p.p99_ns), duration(p.p999_ns), duration(p.max_ns), count(p.count)]
    : [NONE, NONE, NONE, NONE, NONE];
  const rows = numbers.latencies.map((row) => [row.name, [row.name, ...cells(row.interval), ...cells(row.run)]]);
  fill($("latencies"), rows, (row, key) => {
    row.classList.toggle("whole", key === "total");
    row.cells[5].className = "before-next";
    row.cells[6].className = "next";
  });
  options($("chart-row"), numbers.latencies.map((row) => row.name), "total");
}

// The choices of a select, which keeps what was chosen.
function options(select, names, preferred) {
  const key = JSON.stringify(names);
  if (select.dataset.key === key) return;
  const chosen = select.value || preferred;
  select.dataset.key = key;
  select.replaceChildren(...names.map((name) => new Option(name, name)));
  select.value = names.includes(chosen) ? chosen : (names[0] ?? "");
}

function showFeeds(numbers, nowUnixMs) {
  fill($("feeds"), numbers.feeds.map((feed) => [feed.exchange, [
    feed.exchange,
    feed.is_connected ? ["connected", "good"] : ["down", "bad"],
    feed.last_message_unix_ms === null ? NONE : age(nowUnixMs - feed.last_message_unix_ms),
    perSecond(feed.messages.per_second),
    duration(feed.lag_ns),
    count(feed.subscriptions),
    count(feed.reconnections),
    count(feed.errors),
  ]]));
}

function showBooks(numbers) {
  fill($("books"), numbers.books.map((book) => {
    const key = `${book.exchange} ${book.symbol}`;
    return [key, [
      key,
      [book.quality, KIND_OF_QUALITY[book.quality] ?? "bad"],
      price(key, book.bid),
      price(key, book.ask),
      price(key, book.spread),
      count(book.bid_levels),
      count(book.ask_levels),
      perSecond(book.updates.per_second),
      count(book.gaps),
      count(book.resyncs),
      count(book.checksum_failures),
    ]];
  }));
}

function showThreads(numbers) {
  fill($("threads"), numbers.threads.map((thread) => [thread.name, [
    thread.name,
    thread.is_stuck ? ["hangs", "bad"] : thread.is_idle ? ["at rest", ""] : ["at work", "good"],
    thread.cpu === null ? NONE : String(thread.cpu),
    thread.tid ? String(thread.tid) : NONE,
    thread.rounds.total === 0 ? NONE : perSecond(thread.rounds.per_second),
    share(thread.busy_ratio),
    thread.place,
  ]]));
}

function showModels(numbers, history) {
  fill($("models"), numbers.models.map((model) => [model.model, [
    model.model,
    model.role === "retired" ? ["retired", ""] : model.is_loaded ? [model.role ?? "loaded", "good"] : ["not loaded", "bad"],
    ...model.classes.map((of) => perSecond(of.per_second)),
    ...model.classes.map((of) => count(of.total)),
  ]]));
  const frame = $("confidence");
  const figures = new Map([...frame.children].map((figure) => [figure.dataset.key, figure]));
  for (const model of numbers.models) {
    const figure = figures.get(model.model) ?? frame.appendChild(confidenceFigure(model.model));
    figures.delete(model.model);
    const bins = new Array(20).fill(0);
    for (const point of history) (point.confidence[model.model] ?? []).forEach((n, bin) => { bins[bin] += n; });
    const all = bins.reduce((sum, n) => sum + n, 0);
    const svg = figure.querySelector("svg");
    bars(svg, bins);
    const sure = bins.slice(12).reduce((sum, n) => sum + n, 0);
    const text = all ? `${share(sure / all)} of ${count(all)} at 60 % or above` : "none yet";
    put(figure.querySelector(".sure"), text);
    svg.setAttribute("aria-label", `Distribution of the confidence of ${model.model}: ${text}`);
  }
  for (const figure of figures.values()) figure.remove();
}

function confidenceFigure(name) {
  const figure = document.createElement("div");
  figure.dataset.key = name;
  const title = document.createElement("h3");
  const sure = document.createElement("p");
  const scale = document.createElement("p");
  put(title, `Confidence of ${name}, last 10 minutes on this page`);
  sure.className = "sure number";
  scale.className = "scale";
  scale.append(...["0", "0.5", "1"].map((text) => {
    const mark = document.createElement("span");
    put(mark, text);
    return mark;
  }));
  figure.append(title, sure, shape("svg", { role: "img" }), scale);
  return figure;
}

function showLosses(numbers) {
  fill($("losses"), numbers.losses.map(({ name, lost }) => [name, [name, perSecond(lost.per_second), count(lost.total)]]));
  $("losses-none").hidden = numbers.losses.length > 0;
  $("losses").hidden = numbers.losses.length === 0;
}
