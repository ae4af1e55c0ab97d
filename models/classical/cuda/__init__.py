"""The classical chain on a GPU: the same steps as the CPU's, file by file, and their kernels."""
