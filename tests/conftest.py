"""What all tests share."""

from hypothesis import settings

# No deadline: what an example may take would depend on the machine.
settings.register_profile("default", deadline=None)
settings.load_profile("default")
