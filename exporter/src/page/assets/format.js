
// Numbers as an operator reads them: three digits that matter, and a dash for what is not known.
const NONE = "–";
const grouped = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

function threeDigits(value) {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

function duration(ns) {
  if (ns === null || ns === undefined) return NONE;
  const size = Math.abs(ns);
  const sign = ns < 0 ? "−" : "";
  if (size < 999.5) return `${sign}${size.toFixed(0)} ns`;
  if (size < 999.5e3) return `${sign}${threeDigits(size / 1e3)} µs`;
  if (size < 999.5e6) return `${sign}${threeDigits(size / 1e6)} ms`;
  return `${sign}${threeDigits(size / 1e9)} s`;
}

function perSecond(value) {
  if (value === null || value === undefined) return NONE;
  if (value >= 999.5e6) return `${threeDigits(value / 1e6)} M`;
  return value > 0 && value < 10 ? value.toFixed(1) : grouped.format(value);
}

// A count above 2^53 comes as text, and stays so.
function count(value) {
  if (value === null || value === undefined) return NONE;
  return grouped.format(typeof value === "string" ? BigInt(value) : value);
}

function share(ratio) {
  return ratio === null || ratio === undefined ? NONE : `${(ratio * 100).toFixed(1)} %`;
}

function age(ms) {
  const seconds = Math.max(0, ms) / 1000;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86400)} d ${Math.floor((seconds % 86400) / 3600)} h`;
}

// Prices of one book with as many decimals as any of them has needed: digits stay below each other.
const decimalsOfBook = new Map();
function price(book, value) {
  if (value === null || value === undefined) return NONE;
  const shortest = value.toFixed(9).replace(/0+$/, "");
  const needed = shortest.length - shortest.indexOf(".") - 1;
  const decimals = Math.max(decimalsOfBook.get(book) ?? 0, needed);
  decimalsOfBook.set(book, decimals);
  return value.toFixed(decimals);
}
