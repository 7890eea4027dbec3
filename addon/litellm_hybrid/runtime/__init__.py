"""The running process: start, reload, request handling, drain, own pages."""
