"""Which kernels a call starts on the GPU, by their time, whoever starts them: PyTorch's profiler listens to the driver."""
from __future__ import annotations

import re
from collections import defaultdict


def print_kernels(call, most: int = 40) -> None:
    """Calls it twice, and prints what the second call did: kernels and copies with their time together, their number and their share."""
    import torch

    call()
    torch.cuda.synchronize()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiler:
        call()
        torch.cuda.synchronize()
    times: dict[str, list[float]] = defaultdict(list)
    for event in profiler.events():
        if event.device_type == torch.autograd.DeviceType.CUDA:
            times[event.name].append(event.device_time)
    total = sum(map(sum, times.values()))
    print(f"  {total / 1e3:9.3f} ms on the GPU in {sum(map(len, times.values()))} kernels and copies")
    for name, own in sorted(times.items(), key=lambda item: -sum(item[1]))[:most]:
        short = re.sub(r"lr::cuda::|\(anonymous namespace\)::|^void |\(.*$", "", name)
        print(f"  {sum(own) / 1e3:9.3f} ms {100 * sum(own) / total:5.1f} % {len(own):6} × {sum(own) / len(own):9.1f} µs  {short[:90]}")
