/*
 * Prints the signals of a ring as JSON lines, until the engine ends.
 *
 *     cc -O2 -I region/include region/examples/signals.c -o signals
 *     ./signals /dev/shm/quantumflow/engine.*.ring [first sequence] [how many, lost ones included]
 */
#include "quantumflow_signal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* A text of the engine as a JSON string. It has no control characters. */
static void print_text(const char *key, const char *text) {
    printf("\"%s\":\"", key);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') putchar('\\');
        putchar(*text);
    }
    printf("\",");
}

static void print_truth(const char *key, int is_so) {
    printf("\"%s\":%s,", key, is_so ? "true" : "false");
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "usage: %s <ring> [first sequence] [how many]\n", argv[0]);
        return 2;
    }
    qf_signal_reader reader;
    int error = qf_signal_open(&reader, argv[1]);
    if (error) {
        fprintf(stderr, "cannot read %s: %s\n", argv[1], qf_signal_error(error));
        return 1;
    }
    if (argc > 2) qf_signal_seek(&reader, strtoull(argv[2], NULL, 10));
    uint64_t left = argc > 3 ? strtoull(argv[3], NULL, 10) : UINT64_MAX;
    while (left > 0) {
        qf_signal s;
        uint64_t missed = 0;
        switch (qf_signal_next(&reader, &s, &missed)) {
        case QF_SIGNAL: {
            qf_symbol symbol = {0};
            qf_model model = {0};
            qf_signal_symbol(&reader, s.symbol_id, &symbol);
            qf_signal_model(&reader, s.model_id, &model);
            const char *class_name = s.class_id < 3 ? model.classes[s.class_id] : "";
            printf("{");
            print_text("venue", symbol.venue);
            print_text("symbol", symbol.symbol);
            print_text("model", model.name);
            print_text("signal", class_name);
            print_truth("beyond_horizon", s.flags & QF_FLAG_BEYOND_HORIZON);
            printf("\"sequence\":%" PRIu64 ",\"symbol_id\":%u,\"model_id\":%u,\"class\":%u,\"quality\":%u,\"flags\":%u",
                   s.sequence, s.symbol_id, s.model_id, s.class_id, s.quality, s.flags);
            printf(",\"update_id\":%" PRIu64 ",\"exchange_time_ns\":%" PRIu64 ",\"receive_time_ns\":%" PRIu64
                   ",\"publish_time_ns\":%" PRIu64, s.update_id, s.exchange_time_ns, s.receive_time_ns,
                   s.publish_time_ns);
            printf(",\"probabilities\":[%.9g,%.9g,%.9g],\"confidence\":%.9g", (double)s.probabilities[0],
                   (double)s.probabilities[1], (double)s.probabilities[2], (double)s.confidence);
            printf(",\"bid_price\":%" PRId64 ",\"bid_qty\":%" PRId64 ",\"ask_price\":%" PRId64 ",\"ask_qty\":%" PRId64,
                   s.bid_price, s.bid_qty, s.ask_price, s.ask_qty);
            printf(",\"price_scale\":%u,\"qty_scale\":%u", symbol.price_scale, symbol.qty_scale);
            printf(",\"model_hash\":%" PRIu64 ",\"total_latency_ns\":%" PRIu64 ",\"kernel_time_ns\":%" PRIu64
                   ",\"reserved\":%" PRIu64 "}\n", s.model_hash, s.total_latency_ns, s.kernel_time_ns, s.reserved);
            left--;
            break;
        }
        case QF_LAPPED:
            printf("{\"missed\":%" PRIu64 "}\n", missed);
            left = missed < left ? left - missed : 0;
            break;
        default: {
            /* A strategy on its own core would spin here. */
            int state = qf_signal_state(&reader);
            if (state != QF_STATE_LIVE && state != QF_STATE_DRAINING && qf_signal_published(&reader) <= reader.next) {
                left = 0;
                break;
            }
            fflush(stdout);
            struct timespec rest = {0, 100000};
            nanosleep(&rest, NULL);
        }
        }
    }
    qf_signal_close(&reader);
    return 0;
}
