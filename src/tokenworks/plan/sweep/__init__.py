"""Many variants of one factory, each rehearsed, side by side."""
