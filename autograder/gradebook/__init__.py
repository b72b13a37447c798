"""nbgrader's database: creating it, writing grades, reading them, late penalties."""
