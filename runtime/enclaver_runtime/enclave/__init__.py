"""PID 1 of the enclave: from the kernel's first process to the app, and to the power-off."""
