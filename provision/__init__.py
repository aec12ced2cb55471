"""Fill volumes with model weights: pinned, resumable, proven."""

__version__ = "0.1.0"
