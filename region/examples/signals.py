#!/usr/bin/env python3
"""Prints the signals of a ring as JSON lines, until the engine ends. Standard library only.

    python3 region/examples/signals.py /dev/shm/quantumflow/engine.*.ring [first sequence] [how many, lost ones included]

Python cannot order memory accesses itself. On x86-64 loads are never reordered with loads, and the two looks at a slot's
stamp are whole 8-byte loads, so a signal that is printed is whole. On other processors use the C header.
"""
import fcntl
import json
import mmap
import os
import stat
import struct
import sys
import time

MAGIC = b"\x91QFSIG\r\n"
SIGNAL = struct.Struct("<QHHBBHQQQQ3ffqqqqQQQQ")
FIELDS = ("sequence symbol_id model_id class quality flags update_id exchange_time_ns receive_time_ns publish_time_ns "
          "down flat up confidence bid_price bid_qty ask_price ask_qty model_hash total_latency_ns kernel_time_ns "
          "reserved").split()
STATE, SYMBOLS_COMMITTED, MODELS_COMMITTED, CURSOR = 0, 3, 4, 16
LIVE, DRAINING, CLOSED, PANICKED = 1, 2, 3, 4
# A bit of a signal's flags: the model looked further into the book than the book is known.
BEYOND_HORIZON = 1


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def text(raw):
    return raw.split(b"\0", 1)[0].decode("utf-8", "replace")


class Ring:
    """Reads a ring at its own pace: next() returns a dict, None when there is nothing yet, or an int: how many
    signals were lost because the writer was a whole ring ahead."""

    def __init__(self, path):
        self.fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        status = os.fstat(self.fd)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1 or status.st_mode & stat.S_IWOTH:
            raise ValueError(f"{path}: not a regular file of one name that only its owner may write")
        if not 8192 <= status.st_size <= 1 << 30:
            raise ValueError(f"{path}: not a signal ring")
        self.map = mmap.mmap(self.fd, status.st_size, prot=mmap.PROT_READ)
        head = bytearray(self.map[:4096])
        order, major, _minor, header_len, crc, file_len, incompat = struct.unpack_from("<IHHIIQQ", head, 8)
        if head[:8] != MAGIC or order != 0x0A0B0C0D:
            raise ValueError(f"{path}: not a signal ring")
        if major != 1 or incompat:
            raise ValueError(f"{path}: a newer format than this program reads")
        head[20:24] = bytes(4)
        if not 256 <= header_len <= 4096 or crc32c(head[:header_len]) != crc or file_len != status.st_size:
            raise ValueError(f"{path}: the header is damaged")
        (self.slot_count, self.slot_stride, _len, self.symbol_cap, self.symbol_stride, self.model_cap,
         self.model_stride) = struct.unpack_from("<7I", head, 72)
        self.live_off, self.symbols_off, self.models_off, self.slots_off = struct.unpack_from("<4Q", head, 104)
        sound = (self.slot_count >= 8 and self.slot_count & (self.slot_count - 1) == 0 and self.slot_stride >= 128
                 and not any(n % 8 for n in (self.slot_stride, self.symbol_stride, self.model_stride, self.live_off,
                                             self.symbols_off, self.models_off, self.slots_off))
                 and self.live_off + 4096 <= file_len
                 and self.slots_off + self.slot_count * self.slot_stride <= file_len
                 and self.symbols_off + self.symbol_cap * self.symbol_stride <= file_len
                 and self.models_off + self.model_cap * self.model_stride <= file_len)
        if not sound:
            raise ValueError(f"{path}: the header does not fit the file")
        # Indexing this view loads one whole word.
        self.words = memoryview(self.map).cast("Q")
        self.sequence = self.published()
        self.symbols, self.models = {}, {}

    def live(self, word):
        return self.words[self.live_off // 8 + word]

    def published(self):
        return self.live(CURSOR)

    def seek(self, sequence):
        self.sequence = min(sequence, self.published())

    def next(self):
        slot = self.slots_off + self.sequence % self.slot_count * self.slot_stride
        whole = 2 * self.sequence + 2
        stamp = self.words[slot // 8]
        if stamp < whole:
            return None
        if stamp == whole:
            values = SIGNAL.unpack_from(self.map, slot)
            stamp = self.words[slot // 8]
            if stamp == whole:
                signal = dict(zip(FIELDS, values), sequence=self.sequence)
                self.sequence += 1
                return signal
        published = max(self.published(), stamp // 2)
        resume = max(published - self.slot_count // 2, self.sequence + 1)
        missed, self.sequence = resume - self.sequence, resume
        return missed

    def symbol(self, index):
        if index not in self.symbols and index < min(self.live(SYMBOLS_COMMITTED), self.symbol_cap):
            entry = struct.unpack_from("<16s32sBB", self.map, self.symbols_off + index * self.symbol_stride)
            self.symbols[index] = (text(entry[0]), text(entry[1]), entry[2], entry[3])
        return self.symbols.get(index, ("", "", 0, 0))

    def model(self, index):
        if index not in self.models and index < min(self.live(MODELS_COMMITTED), self.model_cap):
            entry = struct.unpack_from("<48sQQ16s16s16s", self.map, self.models_off + index * self.model_stride)
            self.models[index] = (text(entry[0]), [text(name) for name in entry[3:]])
        return self.models.get(index, ("", ["", "", ""]))

    def is_running(self):
        if self.live(STATE) in (CLOSED, PANICKED):
            return False
        # Who holds the file? struct flock of Linux on 64 bits; F_OFD_GETLK is 36.
        query = struct.pack("hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
        answer = fcntl.fcntl(self.fd, getattr(fcntl, "F_OFD_GETLK", 36), query)
        return struct.unpack_from("h", answer)[0] != fcntl.F_UNLCK


def main():
    if len(sys.argv) < 2:
        sys.exit(f"usage: {sys.argv[0]} <ring> [first sequence] [how many]")
    try:
        ring = Ring(sys.argv[1])
    except (OSError, ValueError) as error:
        sys.exit(f"cannot read: {error}")
    if len(sys.argv) > 2:
        ring.seek(int(sys.argv[2]))
    left = int(sys.argv[3]) if len(sys.argv) > 3 else float("inf")
    while left > 0:
        found = ring.next()
        if found is None:
            # A strategy would spin here.
            if not ring.is_running() and ring.published() <= ring.sequence:
                break
            sys.stdout.flush()
            time.sleep(0.0001)
        elif isinstance(found, int):
            print(json.dumps({"missed": found}))
            left -= found
        else:
            venue, symbol, price_scale, qty_scale = ring.symbol(found["symbol_id"])
            model, classes = ring.model(found["model_id"])
            name = classes[found["class"]] if found["class"] < 3 else ""
            found["probabilities"] = [found.pop("down"), found.pop("flat"), found.pop("up")]
            print(json.dumps(dict(found, venue=venue, symbol=symbol, model=model, signal=name,
                                  price_scale=price_scale, qty_scale=qty_scale,
                                  beyond_horizon=bool(found["flags"] & BEYOND_HORIZON))))
            left -= 1


if __name__ == "__main__":
    main()
