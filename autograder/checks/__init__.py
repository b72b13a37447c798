"""The checks: one file a lesson, and in `common` what they share."""
