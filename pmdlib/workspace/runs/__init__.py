"""What a sweep is made of: points, tasks, the version of their code, rows, and where they run."""
