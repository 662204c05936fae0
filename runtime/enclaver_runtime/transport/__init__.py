"""Ways out of the process: vsock, the security module's device, system calls; no wire formats."""
