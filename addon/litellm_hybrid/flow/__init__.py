"""One exchange: what is known of a request, and the responses that are made here."""
