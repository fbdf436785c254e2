"""HTTP/1.1 for a gateway: asyncio protocols over httptools, strict about what it takes, callbacks in place of tasks."""
