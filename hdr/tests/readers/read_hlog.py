"""Prints what the Python HdrHistogram library reads in an interval log, a line per tag:
tag, intervals, first start in ms, values, largest value, values at the percentiles below.

    read_hlog.py LOG          read
    read_hlog.py --write LOG  write a log for others to read: 1,000 values a second under two tags
"""

import sys

from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader, HistogramLogWriter

PERCENTILES = [10, 25, 50, 75, 90, 95, 99, 99.9, 100]
HIGHEST = (1 << 36) - 1


def read(path):
    reader = HistogramLogReader(path, HdrHistogram(1, HIGHEST, 2))
    tags = {}
    while True:
        interval = reader.get_next_interval_histogram()
        if interval is None:
            break
        tag = interval.get_tag() or ""
        if tag not in tags:
            tags[tag] = [0, interval.get_start_time_stamp(), HdrHistogram(1, HIGHEST, 2)]
        tags[tag][0] += 1
        tags[tag][2].add(interval)
    for tag in sorted(tags):
        intervals, start_ms, merged = tags[tag]
        values = [merged.get_value_at_percentile(p) for p in PERCENTILES]
        print(tag, intervals, round(start_ms), merged.get_total_count(), merged.get_max_value(), *values, sep="\t")


def write(path):
    with open(path, "w", encoding="ascii") as file:
        # Times are absolute: the library's output_start_time fails in release 0.10.8.
        writer = HistogramLogWriter(file)
        writer.output_log_format_version()
        writer.output_comment("[a comment]")
        writer.output_legend()
        for second in range(10):
            for tag, scale in (("", 1_000), ("slow", 1_000_000)):
                histogram = HdrHistogram(1, HIGHEST, 3)
                for value in range(1, 1001):
                    histogram.record_value(value * scale)
                start = second * 1000
                histogram.set_start_time_stamp(1_763_725_440_000 + start)
                histogram.set_end_time_stamp(1_763_725_440_000 + start + 1000)
                if tag:  # which the library reads but does not write
                    file.write(f"Tag={tag},")
                writer.output_interval_histogram(histogram, max_value_unit_ratio=1000.0)


if sys.argv[1] == "--write":
    write(sys.argv[2])
else:
    read(sys.argv[1])
