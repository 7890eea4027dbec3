"""litellm-hybrid: a mitmproxy addon that sends chosen requests of CLIProxyAPI's clients to LiteLLM."""
