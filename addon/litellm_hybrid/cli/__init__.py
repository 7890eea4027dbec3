"""The `litellm-hybrid` command: one module for each group of subcommands."""
