"""`litellm-hybrid serve`: a lean mitmproxy, and the supervisor of several."""
