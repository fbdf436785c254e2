"""APIs that callers may speak: chat completions as they are, others passed through or translated."""
