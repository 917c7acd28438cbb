"""Training in slices of wall-clock time: state on disk, schedules over elapsed seconds, captured steps."""

import math
import os
import pathlib
import threading
import time
from queue import Queue

import torch


class Clock:
    """Seconds of training so far, over all slices; a slice ends `budget` seconds after its start."""

    def __init__(self, elapsed, budget):
        self.before, self.budget, self.start = elapsed, budget, time.time()

    def elapsed(self):
        return self.before + time.time() - self.start

    def slice_over(self):
        return time.time() - self.start >= self.budget


def learning_rate(peak, elapsed, total, step, warmup=200, hold=0.4, floor=0.03):
    """Linear warm-up, constant for `hold` of the run, then a cosine down to floor * peak."""
    progress = max(0.0, min(1.0, (elapsed / total - hold) / (1 - hold)))
    return peak * min(1.0, (step + 1) / warmup) * (
        floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress)))


def save(path, state):
    """Written aside and renamed, so that a cut run keeps its last whole checkpoint."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, str(path) + ".partial")
    os.replace(str(path) + ".partial", path)


def pack_optimizer(optimizer):
    """The optimiser's state with its moments in bfloat16: half the bytes to keep between slices."""
    state = optimizer.state_dict()
    for entry in state["state"].values():
        for key in ("exp_avg", "exp_avg_sq"):
            entry[key] = entry[key].to(torch.bfloat16)
    return state


def unpack_optimizer(optimizer, state, lr):
    for entry in state["state"].values():
        for key in ("exp_avg", "exp_avg_sq"):
            entry[key] = entry[key].float()
    optimizer.load_state_dict(state)
    optimizer.param_groups[0]["lr"] = lr


class Prefetcher:
    """Calls `make()` in a thread so that rendering overlaps training."""

    def __init__(self, make, depth=4):
        self.queue, self.stopped = Queue(depth), False

        def work():
            while not self.stopped:
                self.queue.put(make())

        threading.Thread(target=work, daemon=True).start()

    def next(self):
        return self.queue.get()

    def stop(self):
        self.stopped = True
        while not self.queue.empty():
            self.queue.get_nowait()


class CapturedStep:
    """`step(*tensors) -> losses` recorded as a CUDA graph; launch gaps cost more than the arithmetic
    of small models. Runs eagerly where capture is not possible and says so once."""

    def __init__(self, step, example, capture=True):
        self.step, self.graph = step, None
        self.inputs = [t.clone() for t in example]
        if not (capture and torch.cuda.is_available()):
            return
        try:
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(3):
                    step(*self.inputs)
            torch.cuda.current_stream().wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            # thread_local: NCCL's watchdog thread may ask about its own events meanwhile.
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self.output = step(*self.inputs)
            self.graph = graph
        except Exception as error:  # a missing capture costs speed, not results
            print("step not captured, running eagerly:", repr(error)[:300], flush=True)
            torch.cuda.synchronize()

    def __call__(self, *tensors):
        if self.graph is None:
            return self.step(*tensors)
        for mine, given in zip(self.inputs, tensors):
            mine.copy_(given, non_blocking=True)
        self.graph.replay()
        return self.output
