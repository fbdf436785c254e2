"""Services and the engines behind them: what is known of each, and which one takes a call."""
