// The live page in a real browser, against a real exporter and an engine that is killed.
//
// Run by tests/page.rs, which sets: EXPORTER and ENGINE (commands as JSON arrays), REGION_DIR, MODULES (a folder with
// node_modules/), CHROMIUM, and SCREENSHOTS (a folder) where pictures are wanted. Ends with 0 when everything held.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import path from "node:path";
import readline from "node:readline";

const { env } = process;
const require = createRequire(path.join(env.MODULES, "package.json"));
const { chromium } = require("playwright-core");
const axe = require.resolve("axe-core/axe.min.js");

const children = [];
function start(command, ready) {
  const [program, ...args] = JSON.parse(command);
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "inherit"] });
  children.push(child);
  const lines = readline.createInterface({ input: child.stdout });
  return new Promise((resolve, reject) => {
    lines.on("line", (line) => {
      const match = line.match(ready);
      if (match) resolve({ child, match });
    });
    child.on("exit", (code) => reject(new Error(`${program} ended with ${code}`)));
  });
}

const WRITING = /writing /;
const ADDRESS = /metrics at (http:\/\/[^/]+)\//;
let step = "start";
const complaints = [];

async function open(browser, origin, options) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.on("console", (message) => {
    // A stream that breaks off is reported by the browser itself, and is what the last step is about.
    const isBroken = step === "gone" && message.text().includes("net::ERR_");
    if (["error", "warning"].includes(message.type()) && !isBroken) complaints.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => complaints.push(`error: ${error.message}`));
  page.on("request", (request) => {
    const { protocol } = new URL(request.url());
    if (protocol !== "data:" && !request.url().startsWith(`${origin}/`)) complaints.push(`leaves: ${request.url()}`);
  });
  await page.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (event) => console.error(`policy: ${event.violatedDirective}`));
  });
  await page.goto(origin);
  return page;
}

const text = (page, selector) => page.locator(selector).textContent();

async function until(what, page, condition, argument) {
  await page.waitForFunction(condition, argument, { timeout: 15_000 }).catch(async () => {
    throw new Error(`${what}: it never came; the page says: ${await page.locator("body").innerText()}`);
  });
}

async function isAccessible(page, name) {
  // Through the debugger and not as an element: the page's policy lets no other script in.
  await page.evaluate(await import("node:fs").then((fs) => fs.readFileSync(axe, "utf8")));
  const { violations } = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
  const found = violations.map((v) => `${v.id}: ${v.nodes.map((node) => node.target.join(" ")).join(", ")}`);
  assert.deepEqual(found, [], `axe, ${name}`);
}

async function picture(page, name) {
  if (env.SCREENSHOTS) await page.screenshot({ path: path.join(env.SCREENSHOTS, `${name}.png`), fullPage: true });
}

async function fits(page, name) {
  const [wide, window_] = await page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
  assert.ok(wide <= window_, `${name}: the page is ${wide} wide in a window of ${window_}`);
}

async function main() {
  let { child: engine } = await start(env.ENGINE, WRITING);
  const { child: exporter, match } = await start(env.EXPORTER, ADDRESS);
  const origin = match[1];
  const browser = await chromium.launch({ executablePath: env.CHROMIUM, args: ["--no-sandbox"] });
  try {
    step = "numbers move";
    const desktop = { viewport: { width: 1280, height: 900 } };
    const page = await open(browser, origin, { ...desktop, colorScheme: "light" });
    await until("a rate", page, () => /^[\d,]+$/.test(document.getElementById("rate-messages").textContent));
    const before = await text(page, "#latencies tr.whole td:last-child");
    await until("another count", page, (old) => document.querySelector("#latencies tr.whole td:last-child").textContent !== old, before);
    assert.equal(await text(page, "#state"), "live");
    assert.ok(await page.locator("#banner").isHidden(), "no banner while all is well");
    assert.equal(await page.locator("#latencies tbody tr").count(), 12);
    assert.equal(await page.locator("#books tbody tr").count(), 6);
    await until("lines", page, () => document.querySelector("#chart .line.p99").getAttribute("d").includes("L"));

    step = "names are text";
    const name = await text(page, "#feeds tbody th >> nth=0");
    assert.equal(name, "<img src=x onerror=alert(1)>", "a feed's name is shown, not run");
    assert.equal(await page.locator("main img").count(), 0);

    step = "chart";
    await page.locator("#chart-row").selectOption("model");
    await page.locator("#chart-frame").focus();
    await page.keyboard.press("ArrowLeft");
    assert.match(await text(page, "#readout"), /ago: p50 .+, p99 .+, p99\.9 /, "the keyboard reads the chart");

    step = "looks";
    for (const colorScheme of ["light", "dark"]) {
      for (const width of [1280, 360]) {
        const one = `${colorScheme}-${width}`;
        const other = await open(browser, origin, { viewport: { width, height: 800 }, colorScheme, reducedMotion: "reduce" });
        await until("a rate", other, () => /^[\d,]+$/.test(document.getElementById("rate-messages").textContent));
        await fits(other, one);
        await isAccessible(other, one);
        await picture(other, one);
        await other.context().close();
      }
    }

    step = "no script";
    const plain = await open(browser, origin, { ...desktop, javaScriptEnabled: false });
    assert.match(await plain.locator(".facts").innerText(), /live[\s\S]*Metrics/);
    assert.ok(await plain.locator("#live").isHidden());
    await plain.context().close();

    step = "crash";
    engine.removeAllListeners("exit");
    engine.kill("SIGKILL");
    await until("the banner", page, () => !document.getElementById("banner").hidden);
    assert.match(await text(page, "#banner-text"), /^Engine .+ crashed/);
    assert.match(await text(page, "#banner-age"), /old/);
    assert.equal(await text(page, "#state"), "crashed");
    assert.ok(await page.evaluate(() => document.body.classList.contains("is-old")), "old numbers look old");
    await isAccessible(page, "crash");
    await picture(page, "crash");

    step = "next engine";
    ({ child: engine } = await start(env.ENGINE, WRITING));
    await until("the next engine", page, () => document.getElementById("state").textContent === "live");
    assert.ok(await page.locator("#banner").isHidden(), "the banner goes when the engine is back");
    // The lines from before the crash are kept, and go on after a gap.
    await until("two parts of a line", page, () => document.querySelector("#chart .line.p99").getAttribute("d").split("M").length > 2);

    step = "gone";
    exporter.removeAllListeners("exit");
    exporter.kill("SIGKILL");
    await until("no data", page, () => document.getElementById("state").textContent === "no data");
    assert.match(await text(page, "#banner-text"), /cannot be reached/);
    const old = await text(page, "#banner-age");
    await until("a growing age", page, (was) => document.getElementById("banner-age").textContent !== was, old);
    await picture(page, "gone");
  } finally {
    await browser.close();
  }
  assert.deepEqual(complaints, []);
}

try {
  await main();
  console.log("the page holds");
} catch (error) {
  console.error(`step "${step}": ${error.stack}\n${complaints.join("\n")}`);
  process.exitCode = 1;
} finally {
  for (const child of children) {
    child.removeAllListeners("exit");
    child.kill("SIGKILL");
  }
}
