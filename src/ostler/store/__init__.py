"""The database: one protocol, one folder of SQL for each system that can stand behind it."""
