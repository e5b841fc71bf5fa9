"""flowasd: anomalous sound detection with conditional normalizing flows."""

__version__ = "0.1.0"
