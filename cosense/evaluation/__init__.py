"""Average precision and bytes under named, frozen protocols: metrics, runs and sweeps."""
