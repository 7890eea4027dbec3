"""What is wrong with an installation: symptom, cause, fix."""
