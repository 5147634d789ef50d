"""The comparison of Cairn with the limits of the machine and with PyTorch's own checkpoint files."""
