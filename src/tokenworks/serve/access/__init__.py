"""Who asks: API keys, whose the tokens are, and the audit log of what admins change."""
