"""Why a request goes where it goes, and how to change that."""
