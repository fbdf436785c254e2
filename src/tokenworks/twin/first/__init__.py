"""The twin's kernel: aggregated workers."""
