#!/usr/bin/env python3
"""What every CUDA kernel takes, out of ptxas' reports (`-Xptxas -v`): registers and spilled bytes by kernel and architecture.

    resources.py REPORT…

Prints one line a kernel, and ends with 1 when a kernel that sets the pace spills registers to memory, or is in no report.
"""
import collections
import re
import sys

HOT = ('multiply_bf16', 'multiply_few', 'multiply_many', 'multiply_f32', 'multiply_long', 'multiply_short', 'dequantize_words', 'attend_bf16', 'attend_part', 'query_gradients_bf16',
       'key_gradients_bf16', 'row_loss', 'multiply_narrow', 'sum_tokens', 'gate', 'gate_back', 'norm')
ENTRY = re.compile(r"Compiling entry function '(\S+)' for '(sm_\w+)'")
SPILL = re.compile(r'(\d+) bytes spill stores, (\d+) bytes spill loads')
REGISTERS = re.compile(r'Used (\d+) registers')


def name_of(symbol: str) -> str:
    """The function's own name in a mangled one, with its template arguments."""
    parts, at = [], symbol.find('N') + 1
    while (match := re.match(r'(\d+)', symbol[at:])) is not None:
        length = int(match.group(1))
        at += len(match.group(1))
        parts.append(symbol[at : at + length])
        at += length
    arguments = re.match(r'I(.*?)EEv', symbol[at:])
    inner = arguments.group(1) if arguments else ''
    numbers, types = re.findall(r'L?i?E?(\d+)E', inner), re.search(r'(?:^|E)([ft]+)$', inner)
    given = numbers + list(types.group(1) if types else '')
    return parts[-1] + (f'<{",".join(given)}>' if given else '')


def main(paths: list[str]) -> int:
    kernels: dict[str, dict[str, tuple[int, int]]] = collections.defaultdict(dict)
    for path in paths:
        entry, spilled = None, 0
        for line in open(path, encoding='utf-8'):
            if (match := ENTRY.search(line)) is not None:
                entry, spilled = (name_of(match.group(1)), match.group(2)), 0
            elif (match := SPILL.search(line)) is not None:
                spilled = int(match.group(1)) + int(match.group(2))
            elif (match := REGISTERS.search(line)) is not None and entry is not None:
                kernels[entry[0]][entry[1]] = (int(match.group(1)), spilled)
    bad = 0
    for kernel in sorted(kernels):
        hot = kernel.split('<')[0] in HOT
        cells = []
        for arch, (registers, spilled) in sorted(kernels[kernel].items()):
            bad += hot and spilled > 0
            cells.append(f'{arch} {registers}' + (f' (spills {spilled} bytes)' if spilled else ''))
        print(f'{kernel:32} {"hot " if hot else "    "} registers: {", ".join(cells)}')
    targets = {arch for reports in kernels.values() for arch in reports}
    missing = [f'{hot} for {arch}' for hot in HOT for arch in sorted(targets)
               if not any(kernel.split('<')[0] == hot and arch in reports for kernel, reports in kernels.items())]
    print(f'{len(kernels)} kernels for {", ".join(sorted(targets)) or "nothing"}, {bad} hot ones spill')
    if missing:
        print(f'no report of {", ".join(missing)}: has it another name now?')
    return 1 if bad or missing or not kernels else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
