"""Results of other people's benchmark clients, read into one shape."""
