"""The language that checks are written in: declare a check, call a student's code, read and judge its answers."""
