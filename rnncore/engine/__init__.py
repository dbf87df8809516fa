"""The engine: compiled loops over time, layers and directions, and the plans they run."""
