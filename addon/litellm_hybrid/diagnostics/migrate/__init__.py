"""The fork's flat keys become the namespaced ones."""
