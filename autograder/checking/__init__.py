"""The language that checks are written in: declare checks, call student code, read and judge its answers."""
