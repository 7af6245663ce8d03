"""What the pytest plugin is made of: the stage of a test, its outcome, and how it runs again."""
