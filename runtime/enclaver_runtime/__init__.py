"""The runtime: PID 1 of the enclave (``enclave``), its counterpart on the ``parent``, and what both share.

The app's ramdisk tells it what to do with one file, ``runtime.json`` (``config``). ``protocol`` holds the
wire formats without I/O, ``transport`` the ways to other machines, devices and the kernel.
"""
