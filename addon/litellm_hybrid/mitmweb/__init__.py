"""What mitmweb and mitmproxy's console show: the list, comments, redaction, commands, content views."""
