"""What engines say of their own speed, window by window: a measured worker, without a benchmark."""
