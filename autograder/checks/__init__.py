"""The checks: one file per lesson. `autograder.checking` is the language that they are written in."""
