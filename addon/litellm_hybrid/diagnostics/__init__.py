"""Commands that explain: check, explain, doctor, migrate."""
