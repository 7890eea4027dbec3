"""A request body that was made for another provider, made fit for the one behind LiteLLM. Pure."""
