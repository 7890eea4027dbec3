"""What the operator sees: logs, metrics, health and status."""
