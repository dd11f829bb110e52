import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.util.TreeMap;
import org.HdrHistogram.Histogram;
import org.HdrHistogram.HistogramLogReader;

/**
 * Prints what HdrHistogram's own library reads in an interval log, a line per tag: tag, intervals, first start in ms,
 * values, largest value, values at the percentiles below. With --hgrm TAG after the log: that tag's percentile
 * distribution in microseconds instead.
 */
public class ReadHlog {
    static final double[] PERCENTILES = {10, 25, 50, 75, 90, 95, 99, 99.9, 100};

    public static void main(String[] args) throws Exception {
        TreeMap<String, Histogram> tags = new TreeMap<>();
        TreeMap<String, Integer> intervals = new TreeMap<>();
        TreeMap<String, Long> starts = new TreeMap<>();
        HistogramLogReader reader = new HistogramLogReader(args[0]);
        while (reader.hasNext()) {
            Histogram interval = (Histogram) reader.nextIntervalHistogram();
            if (interval == null) {
                break;
            }
            String tag = interval.getTag() == null ? "" : interval.getTag();
            tags.computeIfAbsent(tag, t -> new Histogram((1L << 36) - 1, 2)).add(interval);
            intervals.merge(tag, 1, Integer::sum);
            starts.putIfAbsent(tag, interval.getStartTimeStamp());
        }
        if (args.length == 3) {
            ByteArrayOutputStream bytes = new ByteArrayOutputStream();
            tags.get(args[2]).outputPercentileDistribution(new PrintStream(bytes), 5, 1000.0);
            System.out.print(bytes);
            return;
        }
        for (String tag : tags.keySet()) {
            Histogram merged = tags.get(tag);
            StringBuilder line = new StringBuilder(tag);
            line.append('\t').append(intervals.get(tag)).append('\t').append(starts.get(tag));
            line.append('\t').append(merged.getTotalCount()).append('\t').append(merged.getMaxValue());
            for (double percentile : PERCENTILES) {
                line.append('\t').append(merged.getValueAtPercentile(percentile));
            }
            System.out.println(line);
        }
    }
}
