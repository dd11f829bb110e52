// Prints what hdr-histogram-js reads in an interval log, a line per tag:
// tag, intervals, first start in ms, values, largest value, values at the percentiles below.
"use strict";
const fs = require("fs");
const hdr = require("hdr-histogram-js");

const PERCENTILES = [10, 25, 50, 75, 90, 95, 99, 99.9, 100];
const reader = new hdr.HistogramLogReader(fs.readFileSync(process.argv[2], "utf8"), 64);
const tags = new Map();
for (;;) {
  const interval = reader.nextIntervalHistogram();
  if (interval === null) break;
  const tag = interval.tag === undefined || interval.tag === "NO TAG" ? "" : interval.tag;
  if (!tags.has(tag)) {
    const merged = hdr.build({ highestTrackableValue: 2 ** 36 - 1, numberOfSignificantValueDigits: 2, bitBucketSize: 64 });
    tags.set(tag, { intervals: 0, startMs: interval.startTimeStampMsec, merged });
  }
  const of = tags.get(tag);
  of.intervals += 1;
  of.merged.add(interval);
}
for (const tag of [...tags.keys()].sort()) {
  const { intervals, startMs, merged } = tags.get(tag);
  const values = PERCENTILES.map((p) => merged.getValueAtPercentile(p));
  console.log([tag, intervals, Math.round(startMs), merged.totalCount, merged.maxValue, ...values].join("\t"));
}
