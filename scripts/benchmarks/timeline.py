#!/usr/bin/env python3
"""What the GPU and the CPU do over one run, from a trace of psagen_kernel_trace.

    CUDA_INJECTION64_PATH=$PWD/libpsagen_kernel_trace.so PSAGEN_TRACE=run.tsv PSAGEN_TRACE_CPU=1 \\
      psa-gen bench run --rounds 1
    scripts/benchmarks/timeline.py run.tsv [--json FILE] [--attention REGEX] [--gap-ms 50]

Denoising is the longest run of attention kernels with gaps below --gap-ms: between its first and its
last, how long the GPU does nothing, and the longest such gaps. Decoding is what follows, up to the next
attention kernel: GPU busy and CPU cores in use, in bins of 50 ms. The encoder's CPU time is that of
all threads but the main one after denoising, and that of the main one after the last kernel: before
it, the main thread queues kernels and waits for them; after it, it may also read the file back. The
share before the last kernel says how far encoding is hidden behind decoding. Time by kernel name for
both parts. Needs nothing but Python 3.
"""
import argparse
import bisect
import json
import os
import re
import sys
from collections import defaultdict

ATTENTION = r"(hopper|portable)_attention_kernel|sparse_row_kernel"
BIN_NS = 50_000_000
NAME_WIDTH = 90


def read_trace(lines):
    """(GPU events (start, end, kind, name), CPU samples (time, main, others)), both in order."""
    events, samples = [], []
    for line in lines:
        kind, *fields = line.rstrip("\n").split("\t")
        if kind == "T" and len(fields) == 3:
            samples.append(tuple(map(int, fields)))
        elif kind in ("K", "C", "S") and len(fields) == 4:
            events.append((int(fields[0]), int(fields[1]), kind, fields[3]))
    return sorted(events), sorted(samples)


def longest_run(attention, gap_ns):
    """(start of the first, end of the last) of the attention kernels that make up denoising."""
    runs = []
    for start, end, *_ in attention:
        if runs and start - runs[-1][1] < gap_ns:
            runs[-1][1] = max(runs[-1][1], end)
        else:
            runs.append([start, end])
    return max(runs, key=lambda run: run[1] - run[0])


def busy_spans(events, begin, end):
    """The times within [begin, end] in which at least one event runs, and the event after each gap."""
    spans, after = [], []
    for start, stop, _, name in events:
        start, stop = max(start, begin), min(stop, end)
        if start >= stop:
            continue
        if spans and start <= spans[-1][1]:
            spans[-1][1] = max(spans[-1][1], stop)
        else:
            spans.append([start, stop])
            after.append(name)
    return spans, after


def busy_ns(spans, begin, end):
    return sum(max(0, min(stop, end) - max(start, begin)) for start, stop in spans)


def by_name(events, begin, end):
    found = defaultdict(lambda: [0, 0])
    for start, stop, kind, name in events:
        if begin <= start < end:
            row = found[name if kind == "K" else re.sub(r" \d+$", "", name)]
            row[0] += stop - start
            row[1] += 1
    return [{"name": name, "ms": ns / 1e6, "calls": calls}
            for name, (ns, calls) in sorted(found.items(), key=lambda item: -item[1][0])]


def describe_denoising(events, begin, end):
    spans, after = busy_spans(events, begin, end)
    gaps = [{"us": (spans[i][0] - spans[i - 1][1]) / 1e3, "at_ms": (spans[i][0] - begin) / 1e6,
             "before": after[i]} for i in range(1, len(spans))]
    gaps.sort(key=lambda gap: -gap["us"])
    return {"ms": (end - begin) / 1e6, "idle_share": 1 - busy_ns(spans, begin, end) / (end - begin),
            "gaps": len(gaps), "longest_gaps": gaps[:8], "by_name": by_name(events, begin, end)}


class CpuTime:
    """CPU time so far, between samples by straight lines."""

    def __init__(self, samples):
        self.samples, self.times = samples, [sample[0] for sample in samples]

    def at(self, time, column):
        after = min(max(bisect.bisect(self.times, time), 1), len(self.times) - 1)
        a, b = self.samples[after - 1], self.samples[after]
        share = min(max((time - a[0]) / max(1, b[0] - a[0]), 0), 1)
        return a[column] + share * (b[column] - a[column])

    def spent_ms(self, begin, end, column):
        return (self.at(end, column) - self.at(begin, column)) / 1e6


def describe_decoding(events, samples, denoised, limit):
    """From `denoised` on: `limit` is the start of the next attention kernel, or None."""
    events = [event for event in events
              if event[0] >= denoised and (limit is None or event[1] <= limit)]
    kernels = [stop for _, stop, kind, _ in events if kind == "K"]
    if not kernels:
        return None
    begin, end, last_kernel = events[0][0], max(stop for _, stop, *_ in events), max(kernels)
    spans, _ = busy_spans(events, begin, end)
    result = {"ms": (end - begin) / 1e6, "busy_share": busy_ns(spans, begin, end) / (end - begin),
              "last_kernel_at_ms": (last_kernel - begin) / 1e6, "by_name": by_name(events, begin, end + 1)}
    cpu = CpuTime(samples) if len(samples) > 1 and samples[-1][0] > begin else None
    until = max(end, samples[-1][0]) if cpu else end
    if limit is not None:
        until = min(until, limit)
    if cpu:
        before, after = (cpu.spent_ms(*times, 2) for times in ((begin, last_kernel), (last_kernel, until)))
        alone = cpu.spent_ms(last_kernel, until, 1)
        total = before + after + alone
        result["encoder"] = {
            "before_last_kernel_ms": before, "after_last_kernel_ms": after,
            "main_after_last_kernel_ms": alone, "share_before": before / total if total > 0 else None}
    result["bins"] = []
    for at in range(begin, until, BIN_NS):
        row = {"at_ms": (at - begin) / 1e6, "gpu_busy": busy_ns(spans, at, at + BIN_NS) / BIN_NS}
        if cpu:
            stop = min(at + BIN_NS, until)
            row.update((name, cpu.spent_ms(at, stop, column) * 1e6 / (stop - at))
                       for name, column in (("main_cores", 1), ("other_cores", 2)))
        result["bins"].append(row)
    return result


def shortened(name):
    name = re.sub(r"^void |psagen::kernels::cuda::|\(anonymous namespace\)::", "", name)
    return name if len(name) <= NAME_WIDTH else name[: NAME_WIDTH - 3] + "..."


def print_names(part, count):
    total = sum(row["ms"] for row in part["by_name"])
    print(f"\n  {'ms':>10s} {'share':>6s} {'calls':>6s}  name")
    for row in part["by_name"][:count]:
        print(f"  {row['ms']:10.2f} {100 * row['ms'] / total:5.1f}% {row['calls']:6d}  {shortened(row['name'])}")


def print_tables(result, count):
    part = result["denoising"]
    print(f"denoising {part['ms']:.1f} ms, {part['attention_kernels']} attention kernels; "
          f"GPU idle {100 * part['idle_share']:.2f} % in {part['gaps']} gaps, the longest:")
    for gap in part["longest_gaps"]:
        print(f"  {gap['us']:10.1f} us at {gap['at_ms']:10.1f} ms, before {shortened(gap['before'])}")
    print_names(part, count)
    part = result["decoding"]
    if part is None:
        print("\nno kernel after denoising")
        return
    print(f"\ndecoding {part['ms']:.1f} ms, GPU busy {100 * part['busy_share']:.1f} %, "
          f"last kernel at {part['last_kernel_at_ms']:.1f} ms")
    if "encoder" in part:
        found = part["encoder"]
        share = "-" if found["share_before"] is None else f"{100 * found['share_before']:.1f} %"
        print(f"encoder's CPU time: {share} before the last kernel ({found['before_last_kernel_ms']:.0f} ms; "
              f"after it {found['after_last_kernel_ms']:.0f} ms in other threads, "
              f"{found['main_after_last_kernel_ms']:.0f} ms in the main one)")
    print(f"\n  {'ms':>6s} {'GPU busy':>8s} {'main':>6s} {'others':>6s}  cores in use")
    for row in part["bins"]:
        cores = [f"{row[name]:6.2f}" if name in row else f"{'-':>6s}" for name in ("main_cores", "other_cores")]
        print(f"  {row['at_ms']:6.0f} {100 * row['gpu_busy']:7.1f}% {' '.join(cores)}")
    print_names(part, count)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("trace")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--attention", default=ATTENTION, help="names of attention kernels, a pattern")
    parser.add_argument("--gap-ms", type=float, default=50)
    parser.add_argument("--top", type=int, default=12, help="names printed")
    args = parser.parse_args()
    with open(args.trace, encoding="utf-8", errors="replace") as lines:
        events, samples = read_trace(lines)
    attention = [event for event in events if event[2] == "K" and re.search(args.attention, event[3])]
    if not attention:
        sys.exit(f"{args.trace}: no attention kernel among {len(events)} events")
    begin, end = longest_run(attention, args.gap_ms * 1e6)
    later = [event[0] for event in attention if event[0] >= end]
    result = {"trace": os.path.basename(args.trace), "denoising": describe_denoising(events, begin, end),
              "decoding": describe_decoding(events, samples, end, later[0] if later else None)}
    result["denoising"]["attention_kernels"] = sum(begin <= event[0] < end for event in attention)
    if args.json:
        with open(args.json, "w", encoding="utf-8") as out:
            out.write(json.dumps(result, indent=1) + "\n")
    print_tables(result, args.top)


if __name__ == "__main__":
    main()
