"""The pipeline's stages as programs: argv and files in, files out. Pants runs each as a process it can cache."""
