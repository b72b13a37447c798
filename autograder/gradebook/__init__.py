"""nbgrader's database: creating it, writing and reading grades, late penalties."""
