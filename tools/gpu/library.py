#!/usr/bin/env python3
"""What a linked CUDA library has to be: the exports of the CPU library, no need of CUDA's own libraries, and it opens where there is no GPU.

    library.py build/liblowrank_cuda.so build/liblowrank_kernels.so

Prints what it finds; ends with 1 when something is not so.
"""
import ctypes
import json
import re
import subprocess
import sys

# Of the system. The driver, cublasLt and NVML are looked for when they are wanted.
NEEDED = re.compile(r'(libc|libm|libdl|librt|libpthread|libgcc_s|libstdc\+\+|ld-linux[-\w]*)\.so\.\d+')


def output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def exports(path: str) -> set[str]:
    # Templates of the standard library are weak; which of them are left depends on what was inlined.
    symbols = [line.split()[-2:] for line in output('nm', '-D', '--defined-only', path).splitlines()]
    return {name for kind, name in symbols if kind not in 'WVwvu'}


class Options(ctypes.Structure):
    """lr_context_options."""

    _fields_ = [(name, ctypes.c_uint32) for name in ('threads', 'backend', 'isa', 'compute')]


def isa_of(path: str) -> str:
    """What a context of the library computes on."""
    library = ctypes.CDLL(path)
    context, text = ctypes.c_void_p(), ctypes.create_string_buffer(512)
    library.lr_context_error.restype = ctypes.c_char_p
    library.lr_context_error.argtypes = [ctypes.c_void_p]
    library.lr_context_destroy.argtypes = [ctypes.c_void_p]
    status = library.lr_context_create(ctypes.byref(Options(1, 0, 0, 0)), ctypes.byref(context))
    status = status or library.lr_context_info(context, text, ctypes.c_size_t(len(text)))
    error = library.lr_context_error(context)
    library.lr_context_destroy(context)
    if status != 0:
        raise RuntimeError(f'status {status}: {error.decode()}')
    return str(json.loads(text.value)['isa'])


def main(cuda: str, cpu: str) -> int:
    bad = []
    here, there = exports(cuda), exports(cpu)
    if here != there:
        bad.append(f'exports differ from those of {cpu}: {", ".join(sorted(here ^ there))}')
    needed = re.findall(r'\(NEEDED\).*\[(.+)\]', output('readelf', '-d', cuda))
    bad += [f'needs {name}' for name in needed if NEEDED.fullmatch(name) is None]
    try:
        print(f'{cuda}: {len(here)} functions, needs {", ".join(needed)}, computes here on {isa_of(cuda)}')
    except (OSError, RuntimeError) as error:
        bad.append(f'does not open: {error}')
    for line in bad:
        print(f'{cuda}: {line}')
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1], sys.argv[2]))
