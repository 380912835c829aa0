"""Which kernels a call starts on the GPU, by their time, whoever starts them: PyTorch's profiler listens to the driver."""
from __future__ import annotations

import re
from collections import defaultdict


def print_kernels(call, most: int = 40) -> None:
    """Calls it twice, and prints what the second call did: kernels and copies with their time together, their number and their share, and how long the
    GPU had nothing to do before them."""
    import torch

    call()
    torch.cuda.synchronize()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiler:
        call()
        torch.cuda.synchronize()
    times: dict[str, list[float]] = defaultdict(list)
    waits: dict[str, list[float]] = defaultdict(list)
    end = None
    for event in sorted((one for one in profiler.events() if one.device_type == torch.autograd.DeviceType.CUDA), key=lambda one: one.time_range.start):
        times[event.name].append(event.device_time)
        if end is not None:
            waits[event.name].append(max(0.0, event.time_range.start - end))
        end = max(end or 0.0, event.time_range.end)
    total = sum(map(sum, times.values()))
    print(f"  {total / 1e3:9.3f} ms on the GPU in {sum(map(len, times.values()))} kernels and copies, {sum(map(sum, waits.values())) / 1e3:.3f} ms idle between them")
    for name, own in sorted(times.items(), key=lambda item: -sum(item[1]))[:most]:
        before = sum(waits[name]) / 1e3
        short = re.sub(r"lr::cuda::|\(anonymous namespace\)::|^void |\(.*$", "", name)
        print(f"  {sum(own) / 1e3:9.3f} ms {100 * sum(own) / total:5.1f} % {len(own):6} × {sum(own) / len(own):9.1f} µs  idle before {before:7.3f} ms  {short[:90]}")
