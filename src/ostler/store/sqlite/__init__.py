"""SQLite behind the store's protocol: WAL, one writer thread, readers that never wait for it."""
