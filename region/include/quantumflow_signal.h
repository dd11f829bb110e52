/*
 * Reads the signal ring of a QuantumFlow engine. Header only, for C11 and C++11, Linux, little-endian 64-bit hosts.
 *
 *     qf_signal_reader reader;
 *     int error = qf_signal_open(&reader, "/dev/shm/quantumflow/engine.1700000000000000000.4711.ring");
 *     if (error) { fprintf(stderr, "%s\n", qf_signal_error(error)); return 1; }
 *     for (;;) {
 *         qf_signal signal;
 *         uint64_t missed;
 *         switch (qf_signal_next(&reader, &signal, &missed)) {
 *         case QF_SIGNAL: act_on(&signal); break;
 *         case QF_EMPTY:  spin_or_rest(); break;
 *         case QF_LAPPED: note_that_we_lost(missed); break;
 *         }
 *     }
 *     qf_signal_close(&reader);
 *
 * The engine never waits for a reader and does not know that there is one. The mapping is read-only. A reader belongs to
 * one thread; open one per thread. A reader that falls a whole ring behind is told how many signals it lost and goes on
 * half a ring behind the writer; a signal that is handed out is whole.
 *
 * Compile C with _GNU_SOURCE (or -std=gnu11) for qf_signal_state: it asks the kernel who holds the file.
 */
#ifndef QUANTUMFLOW_SIGNAL_H
#define QUANTUMFLOW_SIGNAL_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef __cplusplus
/* C++ before 23 has no C11 atomics; these built-ins mean the same in g++ and clang++. */
#define QF_LOAD_RELAXED(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#define QF_FENCE_ACQUIRE() __atomic_thread_fence(__ATOMIC_ACQUIRE)
#define QF_STATIC_ASSERT(cond, text) static_assert(cond, text)
extern "C" {
#else
#include <stdatomic.h>
#define QF_LOAD_RELAXED(p) atomic_load_explicit((const _Atomic uint64_t *)(p), memory_order_relaxed)
#define QF_FENCE_ACQUIRE() atomic_thread_fence(memory_order_acquire)
#define QF_STATIC_ASSERT(cond, text) _Static_assert(cond, text)
#endif

/* One prediction. Times are Unix nanoseconds, UTC; prices and quantities are mantissas, value = mantissa / 10^scale
 * with the scale of the symbol (qf_signal_symbol). */
typedef struct qf_signal {
    uint64_t sequence;         /* its number in the ring, from 0, without a hole */
    uint16_t symbol_id;        /* index for qf_signal_symbol */
    uint16_t model_id;         /* index for qf_signal_model */
    uint8_t class_id;          /* most probable class: 0 down, 1 flat, 2 up */
    uint8_t quality;           /* of the book: 0 verified, 1 unverified, 2 stale, 3 crossed, 4 resyncing */
    uint16_t flags;            /* QF_FLAG_* bits; ignore those that you do not know */
    uint64_t update_id;        /* the venue's id of the book state */
    uint64_t exchange_time_ns; /* the venue's time of that state, 0 where it gives none */
    uint64_t receive_time_ns;  /* when its message was read */
    uint64_t publish_time_ns;  /* when the signal was published */
    float probabilities[3];    /* of down, flat, up */
    float confidence;          /* probability of class_id */
    int64_t bid_price;         /* best bid, price mantissa */
    int64_t bid_qty;           /* quantity mantissa */
    int64_t ask_price;         /* best ask, price mantissa */
    int64_t ask_qty;           /* quantity mantissa */
    uint64_t model_hash;       /* hash of the model file */
    uint64_t total_latency_ns; /* kernel's receive timestamp (or read) to publication */
    uint64_t kernel_time_ns;   /* the kernel's receive timestamp, 0 where it gave none */
    uint64_t reserved;         /* 0 */
} qf_signal;

QF_STATIC_ASSERT(sizeof(qf_signal) == 128, "layout of version 1");
QF_STATIC_ASSERT(offsetof(qf_signal, class_id) == 12, "layout of version 1");
QF_STATIC_ASSERT(offsetof(qf_signal, update_id) == 16, "layout of version 1");
QF_STATIC_ASSERT(offsetof(qf_signal, probabilities) == 48, "layout of version 1");
QF_STATIC_ASSERT(offsetof(qf_signal, bid_price) == 64, "layout of version 1");
QF_STATIC_ASSERT(offsetof(qf_signal, kernel_time_ns) == 112, "layout of version 1");

/* Texts end in a zero. */
typedef struct qf_symbol {
    char venue[17];
    char symbol[33];
    uint8_t price_scale;
    uint8_t qty_scale;
} qf_symbol;

typedef struct qf_model {
    char name[49];
    uint64_t hash;
    uint64_t horizon_ns; /* 0 where the horizon is no time */
    char classes[3][17];
} qf_model;

/* Bits of qf_signal.flags, of rings since version 1.1; before they were 0.
 * QF_FLAG_BEYOND_HORIZON: the model looked further into the book than the book is known, levels may have been missing. */
enum { QF_FLAG_BEYOND_HORIZON = 1 };

/* What qf_signal_next found. */
enum { QF_EMPTY = 0, QF_SIGNAL = 1, QF_LAPPED = 2 };

/* What qf_signal_state found. */
enum { QF_STATE_LIVE = 1, QF_STATE_DRAINING = 2, QF_STATE_CLOSED = 3, QF_STATE_PANICKED = 4, QF_STATE_CRASHED = 5 };

/* Why qf_signal_open failed: positive numbers are errno, these are the rest. */
enum {
    QF_E_TRUST = -1,    /* no regular file, more than one name, or writable by everyone */
    QF_E_MAGIC = -2,    /* another kind of file, or written on a big-endian host */
    QF_E_VERSION = -3,  /* a newer format */
    QF_E_CHECKSUM = -4, /* the header is damaged */
    QF_E_LAYOUT = -5    /* the header's numbers do not fit the file */
};

/* Private: use the functions. */
typedef struct qf_signal_reader {
    const unsigned char *base;
    size_t len;
    int fd;
    uint64_t next;
    uint64_t slot_count;
    uint64_t slot_stride, symbol_stride, model_stride;
    uint64_t symbol_cap, model_cap;
    uint64_t live_off, symbols_off, models_off, slots_off;
} qf_signal_reader;

/* A word of the mapping. Offsets were checked when it was opened. */
static inline uint64_t qf_word_(const qf_signal_reader *reader, uint64_t offset) {
    return QF_LOAD_RELAXED((const uint64_t *)(const void *)(reader->base + offset));
}

static inline void qf_copy_(const qf_signal_reader *reader, uint64_t offset, uint64_t *words, size_t count) {
    for (size_t i = 0; i < count; i++) words[i] = qf_word_(reader, offset + 8 * i);
}

/* CRC-32C, bit by bit: it is computed once. */
static inline uint32_t qf_crc32c_(const unsigned char *bytes, size_t len) {
    uint32_t crc = 0xFFFFFFFFu;
    for (size_t i = 0; i < len; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (0x82F63B78u & (0u - (crc & 1u)));
    }
    return ~crc;
}

static inline uint32_t qf_u32_(const unsigned char *bytes) {
    uint32_t value;
    memcpy(&value, bytes, 4);
    return value;
}

static inline uint64_t qf_u64_(const unsigned char *bytes) {
    uint64_t value;
    memcpy(&value, bytes, 8);
    return value;
}

static inline int qf_inside_(const qf_signal_reader *reader, uint64_t offset, uint64_t bytes) {
    return offset >= 4096 && offset % 8 == 0 && offset <= reader->len && bytes <= reader->len - offset;
}

/* Checks a private copy of the header and takes its numbers. */
static inline int qf_check_(qf_signal_reader *r) {
    uint64_t page[512];
    qf_copy_(r, 0, page, 512);
    unsigned char *h = (unsigned char *)page;
    if (memcmp(h, "\x91QFSIG\r\n", 8) != 0 || qf_u32_(h + 8) != 0x0A0B0C0Du) return QF_E_MAGIC;
    uint32_t header_len = qf_u32_(h + 16), crc = qf_u32_(h + 20);
    if (h[12] != 1 || h[13] != 0) return QF_E_VERSION;
    if (header_len < 256 || header_len > 4096) return QF_E_LAYOUT;
    memset(h + 20, 0, 4);
    if (qf_crc32c_(h, header_len) != crc) return QF_E_CHECKSUM;
    if (qf_u64_(h + 32) != 0) return QF_E_VERSION;
    r->slot_count = qf_u32_(h + 72);
    r->slot_stride = qf_u32_(h + 76);
    r->symbol_cap = qf_u32_(h + 84);
    r->symbol_stride = qf_u32_(h + 88);
    r->model_cap = qf_u32_(h + 92);
    r->model_stride = qf_u32_(h + 96);
    r->live_off = qf_u64_(h + 104);
    r->symbols_off = qf_u64_(h + 112);
    r->models_off = qf_u64_(h + 120);
    r->slots_off = qf_u64_(h + 128);
    if (qf_u64_(h + 24) != r->len || qf_u32_(h + 80) < sizeof(qf_signal)) return QF_E_LAYOUT;
    if (r->slot_count < 8 || r->slot_count > (1u << 22) || (r->slot_count & (r->slot_count - 1))) return QF_E_LAYOUT;
    if (r->symbol_cap > 65536 || r->model_cap > 65536) return QF_E_LAYOUT;
    if (r->slot_stride < 128 || r->slot_stride > 4096 || r->slot_stride % 8) return QF_E_LAYOUT;
    if (r->symbol_stride < 64 || r->symbol_stride > 4096 || r->symbol_stride % 8) return QF_E_LAYOUT;
    if (r->model_stride < 128 || r->model_stride > 4096 || r->model_stride % 8) return QF_E_LAYOUT;
    if (!qf_inside_(r, r->live_off, 4096) || !qf_inside_(r, r->slots_off, r->slot_count * r->slot_stride) ||
        !qf_inside_(r, r->symbols_off, r->symbol_cap * r->symbol_stride) ||
        !qf_inside_(r, r->models_off, r->model_cap * r->model_stride))
        return QF_E_LAYOUT;
    return 0;
}

/* How many signals were published. */
static inline uint64_t qf_signal_published(const qf_signal_reader *reader) {
    uint64_t cursor = qf_word_(reader, reader->live_off + 128);
    QF_FENCE_ACQUIRE();
    return cursor;
}

static inline void qf_signal_close(qf_signal_reader *reader) {
    if (reader->base) munmap((void *)(uintptr_t)reader->base, reader->len);
    if (reader->fd >= 0) close(reader->fd);
    reader->base = NULL;
    reader->fd = -1;
}

/* Opens a ring; the first signal will be the next one to be published. Returns 0 or why not (qf_signal_error). */
static inline int qf_signal_open(qf_signal_reader *reader, const char *path) {
    struct stat st;
    int error = 0;
    memset(reader, 0, sizeof *reader);
    reader->fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (reader->fd < 0) return errno;
    if (fstat(reader->fd, &st) != 0) error = errno;
    else if (!S_ISREG(st.st_mode) || st.st_nlink != 1 || (st.st_mode & S_IWOTH)) error = QF_E_TRUST;
    else if (st.st_size < 8192 || st.st_size > (off_t)1 << 30) error = QF_E_LAYOUT;
    if (!error) {
        void *base = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, reader->fd, 0);
        if (base == MAP_FAILED) {
            error = errno;
        } else {
            reader->base = (const unsigned char *)base;
            reader->len = (size_t)st.st_size;
            error = qf_check_(reader);
        }
    }
    if (error) {
        qf_signal_close(reader);
        return error;
    }
    reader->next = qf_signal_published(reader);
    return 0;
}

/* Goes back to signal `sequence`, or the oldest one that is left if that is gone; qf_signal_next tells. */
static inline void qf_signal_seek(qf_signal_reader *reader, uint64_t sequence) {
    uint64_t published = qf_signal_published(reader);
    reader->next = sequence < published ? sequence : published;
}

/* Takes the next signal: QF_SIGNAL and *out is whole; QF_EMPTY and it is not there yet; QF_LAPPED and *missed signals are
 * lost, the next call goes on behind them. Never waits, makes no system call. */
static inline int qf_signal_next(qf_signal_reader *reader, qf_signal *out, uint64_t *missed) {
    uint64_t words[sizeof(qf_signal) / 8];
    uint64_t slot = reader->slots_off + (reader->next & (reader->slot_count - 1)) * reader->slot_stride;
    uint64_t whole = 2 * reader->next + 2;
    uint64_t stamp = qf_word_(reader, slot);
    if (stamp < whole) return QF_EMPTY;
    if (stamp == whole) {
        QF_FENCE_ACQUIRE(); /* pairs with the release store of the stamp */
        qf_copy_(reader, slot + 8, words + 1, sizeof words / 8 - 1);
        QF_FENCE_ACQUIRE(); /* pairs with the writer's release fence after it began */
        stamp = qf_word_(reader, slot);
        if (stamp == whole) {
            words[0] = reader->next++;
            memcpy(out, words, sizeof *out);
            return QF_SIGNAL;
        }
    }
    /* Overwritten. The stamp may be newer than the cursor that this thread sees. */
    uint64_t published = qf_signal_published(reader), least = stamp / 2, half = reader->slot_count / 2;
    if (published < least) published = least;
    uint64_t resume = published > half ? published - half : 0;
    if (resume <= reader->next) resume = reader->next + 1;
    *missed = resume - reader->next;
    reader->next = resume;
    return QF_LAPPED;
}

static inline void qf_text_(char *to, const unsigned char *from, size_t len) {
    memcpy(to, from, len);
    to[len] = 0;
}

/* Fills in a symbol; returns 0 where the ring has none of that id (yet), else 1. */
static inline int qf_signal_symbol(const qf_signal_reader *reader, uint16_t id, qf_symbol *out) {
    uint64_t words[8];
    uint64_t committed = qf_word_(reader, reader->live_off + 24);
    QF_FENCE_ACQUIRE(); /* pairs with the release store of the count */
    if (id >= committed || id >= reader->symbol_cap) return 0;
    qf_copy_(reader, reader->symbols_off + id * reader->symbol_stride, words, 8);
    const unsigned char *bytes = (const unsigned char *)words;
    qf_text_(out->venue, bytes, 16);
    qf_text_(out->symbol, bytes + 16, 32);
    out->price_scale = bytes[48];
    out->qty_scale = bytes[49];
    return out->price_scale <= 18 && out->qty_scale <= 18;
}

/* Fills in a model; returns 0 where the ring has none of that id (yet), else 1. */
static inline int qf_signal_model(const qf_signal_reader *reader, uint16_t id, qf_model *out) {
    uint64_t words[16];
    uint64_t committed = qf_word_(reader, reader->live_off + 32);
    QF_FENCE_ACQUIRE(); /* pairs with the release store of the count */
    if (id >= committed || id >= reader->model_cap) return 0;
    qf_copy_(reader, reader->models_off + id * reader->model_stride, words, 16);
    const unsigned char *bytes = (const unsigned char *)words;
    qf_text_(out->name, bytes, 48);
    out->hash = words[6];
    out->horizon_ns = words[7];
    for (int i = 0; i < 3; i++) qf_text_(out->classes[i], bytes + 64 + 16 * i, 16);
    return 1;
}

#ifdef F_OFD_GETLK
/* Whether the engine lives. A system call: ask once in a while, not per signal. */
static inline int qf_signal_state(const qf_signal_reader *reader) {
    uint64_t state = qf_word_(reader, reader->live_off);
    struct flock query;
    if (state == QF_STATE_CLOSED || state == QF_STATE_PANICKED) return (int)state;
    memset(&query, 0, sizeof query);
    query.l_type = F_RDLCK;
    query.l_whence = SEEK_SET;
    if (fcntl(reader->fd, F_OFD_GETLK, &query) == 0 && query.l_type == F_UNLCK) return QF_STATE_CRASHED;
    return state == QF_STATE_DRAINING ? QF_STATE_DRAINING : QF_STATE_LIVE;
}
#endif

static inline const char *qf_signal_error(int error) {
    switch (error) {
    case 0: return "no error";
    case QF_E_TRUST: return "not a regular file of one name that only its owner may write";
    case QF_E_MAGIC: return "not a signal ring";
    case QF_E_VERSION: return "a newer format than this header reads";
    case QF_E_CHECKSUM: return "the header is damaged";
    case QF_E_LAYOUT: return "the header does not fit the file";
    default: return strerror(error);
    }
}

#ifdef __cplusplus
}
#endif

#endif
