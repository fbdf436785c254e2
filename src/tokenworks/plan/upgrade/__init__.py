"""What newer hardware would give a factory: the same services at the same GPUs, power, dollars and demand."""
