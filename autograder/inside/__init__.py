"""Everything of this project that is inside the sandbox with a student's code, apart from `autograder.given`."""
