#!/usr/bin/env python3
"""Calls the installed libpsagen.so as a language without a C compiler would."""

import ctypes
import sys


def main(library_path):
    library = ctypes.CDLL(library_path)
    library.psagen_destroy.argtypes = [ctypes.c_void_p]
    library.psagen_destroy.restype = None
    handle = ctypes.c_void_p()
    message = ctypes.create_string_buffer(256)

    status = library.psagen_create(b"tpu", 0, ctypes.byref(handle), message, ctypes.c_size_t(256))
    assert status == 1 and message.value == b'device is "tpu"; wanted cpu, cuda or cuda:N', message.value
    status = library.psagen_create(b"cpu", 0, ctypes.byref(handle), message, ctypes.c_size_t(256))
    assert status == 0 and handle, message.value
    library.psagen_destroy(handle)

    order = (ctypes.c_int32 * 60)()
    sizes = [ctypes.c_int64(size) for size in (3, 4, 5)]
    assert library.psagen_pyramid_token_order(*sizes, order) == 0
    assert sorted(order) == list(range(60)), list(order)


if __name__ == "__main__":
    main(sys.argv[1])
