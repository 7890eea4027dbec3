"""What an HTTP message is made of: headers, credentials, bodies, events. Pure."""
